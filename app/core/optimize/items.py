"""What is filled with cash: items, each a sleeve or several that wash groups tie together, and their hulls.

A loss sale in one sleeve excludes a purchase in another where both have members of one group. Tied sleeves are one
item: for every scenario (in each group either no purchases or no loss sales) their hulls are added up, and the lower
hull of all scenarios is the item's. A group that is not tied is left to the branching.
"""

from typing import NamedTuple

from app.core.optimize import kernels
from app.core.optimize.arrays import Flat
from app.core.optimize.kernels import Ints

# A group more doubles the scenarios, a sleeve more lengthens each.
MOST_GROUPS = 5
MOST_SLEEVES = 12
SCENARIOS = 2**MOST_GROUPS


@kernels.record
class Items(NamedTuple):
    """Which sleeves, entries and tied groups belong to which item, in the order of the sleeves."""

    of_sleeve: Ints
    sleeve_at: Ints
    sleeve: Ints
    entry_at: Ints
    entry: Ints
    group_at: Ints
    group: Ints
    tied: Ints
    home: Ints
    stale: Ints
    total: Ints


@kernels.kernel
def room(sleeves: int, entries: int, groups: int) -> Items:
    """Return room for the items of a problem."""
    return Items(
        kernels.ints(sleeves),
        kernels.ints(sleeves + 1),
        kernels.ints(sleeves),
        kernels.ints(sleeves + 1),
        kernels.ints(entries),
        kernels.ints(sleeves + 1),
        kernels.ints(groups),
        kernels.ints(groups),
        kernels.ints(entries),
        kernels.ints(sleeves),
        kernels.ints(1),
    )


@kernels.kernel
def separate(flat: Flat, items: Items) -> None:
    """Make every sleeve an item of its own."""
    sleeves = len(flat.held)
    for k in range(sleeves):
        items.of_sleeve[k] = k
        for i in range(flat.sleeve_at[k], flat.sleeve_at[k + 1]):
            items.home[i] = k
    for g in range(len(flat.group_at) - 1):
        items.tied[g] = 0
    arrange(sleeves, flat, items)


@kernels.kernel
def arrange(sleeves: int, flat: Flat, items: Items) -> None:
    """Number the items anew by their first sleeves and list what belongs to each; sleeves of one item share a label."""
    number = items.sleeve  # of a label, for now
    for k in range(sleeves):
        number[k] = -1
        items.sleeve_at[k + 1] = 0
    count = 0
    for k in range(sleeves):
        label = items.of_sleeve[k]
        if number[label] < 0:
            number[label] = count
            count += 1
        items.of_sleeve[k] = number[label]
        items.sleeve_at[items.of_sleeve[k] + 1] += 1
    items.total[0] = count
    items.sleeve_at[0] = 0
    for it in range(count):
        items.sleeve_at[it + 1] += items.sleeve_at[it]
        items.entry_at[it] = items.sleeve_at[it]
    for k in range(sleeves):
        it = items.of_sleeve[k]
        items.sleeve[items.entry_at[it]] = k
        items.entry_at[it] += 1
    listed = 0
    for it in range(count):
        items.entry_at[it] = listed
        items.group_at[it + 1] = 0
        for place in range(items.sleeve_at[it], items.sleeve_at[it + 1]):
            k = items.sleeve[place]
            for i in range(flat.sleeve_at[k], flat.sleeve_at[k + 1]):
                items.entry[listed] = i
                listed += 1
    items.entry_at[count] = listed
    list_groups(count, flat, items)


@kernels.kernel
def list_groups(count: int, flat: Flat, items: Items) -> None:
    """List the tied groups of each item."""
    groups = 0
    items.group_at[0] = 0
    for it in range(count):
        for g in range(len(flat.group_at) - 1):
            if items.tied[g] == 1 and home_of_group(g, flat, items) == it:
                items.group[groups] = g
                groups += 1
        items.group_at[it + 1] = groups


@kernels.kernel
def home_of_group(g: int, flat: Flat, items: Items) -> int:
    """Return the item of a group's first entry; of a tied group it is the item of them all."""
    return items.of_sleeve[items.home[flat.group_entry[flat.group_at[g]]]]


@kernels.kernel
def tie(g: int, flat: Flat, items: Items) -> bool:
    """Make the items of all members of group g one, unless that would be too large; say whether it was done."""
    first = home_of_group(g, flat, items)
    sleeves = 0
    groups = 1
    seen = kernels.ints(items.total[0])
    for place in range(flat.group_at[g], flat.group_at[g + 1]):
        it = items.of_sleeve[items.home[flat.group_entry[place]]]
        if seen[it] == 0:
            seen[it] = 1
            sleeves += items.sleeve_at[it + 1] - items.sleeve_at[it]
            groups += items.group_at[it + 1] - items.group_at[it]
    if sleeves > MOST_SLEEVES or groups > MOST_GROUPS:
        return False
    items.tied[g] = 1
    for k in range(len(flat.held)):
        if seen[items.of_sleeve[k]] == 1:
            items.of_sleeve[k] = first
    arrange(len(flat.held), flat, items)
    return True
