"""Replays: what a plan was made from, and whether the same plan would be made from it again, to the last digit.

    Head (who made it, within which limits) ── Inputs (snapshot, request) -> plan again -> Difference

A plan that the clock cut short is as good as the search had got by then, and is not made again but by chance.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, is_dataclass, replace
from decimal import Decimal
from enum import Enum
from functools import cache
from itertools import zip_longest

from app.core.digest import canonical, digest, shape
from app.core.drift import Report, Snapshot
from app.core.money import plain
from app.core.optimize import highs
from app.core.optimize.problem import Limits
from app.core.plan import ENGINE, Plan, PlanRequest
from app.core.portfolio import Asset


@dataclass(frozen=True, slots=True)
class Head:
    """How a plan was made: by which engine, from values of which shape, within which limits.

    `ended` says whether the search came to its own end; else the clock cut it short. `solver` is the version of HiGHS
    that was there to be asked, empty where there was none.
    """

    engine: str
    shape: str
    limits: Limits
    ended: bool
    solver: str = ""


@dataclass(frozen=True, slots=True)
class Inputs:
    """All that a plan was made from: with tax facts and closes, as they were at the snapshot's instant."""

    head: Head
    snapshot: Snapshot
    request: PlanRequest

    @property
    def digest(self) -> str:
        """Tells these inputs apart from any other: sha256 of engine, snapshot and request."""
        return digest((self.head.engine, self.snapshot, self.request))


class ReplayVerdict(Enum):
    """What a replay found: the same plan, another one, or that it cannot be told."""

    AGREES = "AGREES"
    DIFFERS = "DIFFERS"
    CANNOT_TELL = "CANNOT_TELL"


@dataclass(frozen=True, slots=True)
class Difference:
    """Where a stored plan and the one that was made again differ; both as text, `none` where there is nothing."""

    at: str
    stored: str
    again: str


@cache
def shape_here() -> str:
    """Return the shape of inputs in this version."""
    return shape(Inputs)


def head_of(limits: Limits, *, ended: bool) -> Head:
    """Return the head of a plan that this engine has made."""
    return Head(ENGINE, shape_here(), limits, ended, highs.version())


def obstacle(head: Head) -> str | None:
    """Say why a plan cannot be made again to the last digit; None when it can."""
    if head.engine != ENGINE:
        return f"it was made by the engine {head.engine}; this is {ENGINE}"
    if head.shape != shape_here():
        return "it was made by a version whose portfolios, policies or assets have other fields than this one's"
    if not head.ended:
        return f"the search was stopped by the clock after {head.limits.seconds:g} s, before it came to its own end"
    return None


def other_solver(head: Head) -> str | None:
    """Say that another HiGHS was there when a plan was made; None when it was the same."""
    if head.solver == (here := highs.version()):
        return None
    return (
        f"it was made with {_highs(head.solver)}, and again with {_highs(here)}: where it is asked, answers may differ"
    )


def _highs(version: str) -> str:
    return f"HiGHS {version}" if version else "no HiGHS"


def differences(stored: Plan, again: Plan) -> tuple[Difference, ...]:
    """Return where two plans differ, in the order of their fields; assets are the same when their ids are.

    Of reports the holdings are left out: a stored plan has none.
    """
    return tuple(_walk("", _told(stored), _told(again)))


def _told(plan: Plan) -> Plan:
    return replace(plan, before=_without_holdings(plan.before), after=_without_holdings(plan.after))


def _without_holdings(report: Report) -> Report:
    return replace(report, valuation=replace(report.valuation, holdings=()))


def _walk(at: str, stored: object, again: object) -> Iterator[Difference]:
    if isinstance(stored, Asset) and isinstance(again, Asset):
        yield from _walk(f"{at}.id", stored.id, again.id)
    elif isinstance(stored, tuple) and isinstance(again, tuple):
        for place, (one, other) in enumerate(zip_longest(stored, again)):
            yield from _walk(f"{at}[{place}]", one, other)
    elif isinstance(stored, Mapping) and isinstance(again, Mapping):
        for key in [*stored, *(key for key in again if key not in stored)]:
            yield from _walk(f"{at}[{_text(key)}]", stored.get(key), again.get(key))
    elif is_dataclass(stored) and type(stored) is type(again):
        for field in fields(stored):
            path = f"{at}.{field.name}" if at else field.name
            yield from _walk(path, getattr(stored, field.name), getattr(again, field.name))
    elif stored != again:
        yield Difference(at, _text(stored), _text(again))


def _text(value: object) -> str:
    if value is None:
        return "none"
    if isinstance(value, str):
        return value
    return plain(value) if isinstance(value, Decimal) else canonical(value)
