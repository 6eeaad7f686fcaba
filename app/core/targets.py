"""Targets: the sleeves of a portfolio, their percents and bands. They sum to exactly 100."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from app.core import bands
from app.core.bands import Band
from app.core.errors import Duplicate, InvalidInput, LimitExceeded, Required, SteelyardError, TargetsSum
from app.core.money import HUNDRED, PERCENT_PLACES, ZERO, plain, round_half_even
from app.core.portfolio import Asset, AssetClass

CASH: Final = "CASH"
MAX_ENTRIES: Final = 500
MAX_MEMBERS: Final = 500
MAX_KEY_LENGTH: Final = 64


@dataclass(frozen=True, slots=True)
class TargetDraft:
    """A target entry as somebody wrote it: members by symbol, a key only if one was given."""

    percent: Decimal
    key: str | None = None
    assets: tuple[str, ...] = ()
    asset_class: AssetClass | None = None
    band: Band | None = None

    @property
    def alone(self) -> str:
        """The key where it is the only name of an asset, else nothing: beside assets or a class it is a mere label."""
        return "" if self.assets or self.asset_class or self.key == CASH else self.key or ""


@dataclass(frozen=True, slots=True)
class Target:
    """One sleeve: the first of `assets` (ids) is bought, all count; `asset_class` takes every asset no other names."""

    key: str
    percent: Decimal
    assets: tuple[str, ...] = ()
    asset_class: AssetClass | None = None
    band: Band | None = None


@dataclass(frozen=True, slots=True)
class Targets:
    """A set of sleeves that sums to 100. `version` is None while it is only a what-if."""

    entries: tuple[Target, ...]
    version: int | None = None

    @property
    def has_cash(self) -> bool:
        return any(entry.key == CASH for entry in self.entries)

    def sleeve_of(self, assets: Iterable[Asset]) -> dict[str, str]:
        """Map asset ids to sleeve keys: by name first, else by class; assets of no sleeve are left out."""
        named = {asset_id: entry.key for entry in self.entries for asset_id in entry.assets}
        by_class = {entry.asset_class: entry.key for entry in self.entries if entry.asset_class}
        found = {asset.id: named.get(asset.id) or by_class.get(asset.asset_class) for asset in assets}
        return {asset_id: key for asset_id, key in found.items() if key}


def symbols_of(drafts: Sequence[TargetDraft]) -> set[str]:
    """Return every symbol the drafts mean, so that the shell can look them up in one go."""
    return {symbol for draft in drafts for symbol in (*draft.assets, draft.alone) if symbol}


def parse(drafts: Sequence[TargetDraft], ids: Mapping[str, str], version: int | None = None) -> Targets:
    """Check drafts and return the targets they make; `ids` maps known symbols to asset ids.

    Refused, with the path of the entry: an unknown symbol, an asset or key named twice, an entry that names nothing,
    a percent outside 0..100 or with more than 6 decimals, more than 500 entries, and any sum but exactly 100 %,
    in Decimal and without epsilon: "targets sum to 99.5; 0.5 is missing". The key is the first symbol or the class
    when none is given; an entry with only a key means the asset of that symbol; CASH alone is uninvested cash.
    """
    if len(drafts) > MAX_ENTRIES:
        raise LimitExceeded(f"there are {len(drafts)} targets; at most {MAX_ENTRIES} are allowed")
    entries = []
    for index, draft in enumerate(drafts):
        try:
            entries.append(_entry(draft, ids))
        except SteelyardError as error:
            raise error.under(index) from None
    _check_unique(entries)
    check_sum([entry.percent for entry in entries])
    return Targets(tuple(entries), version)


def check_sum(percents: Sequence[Decimal]) -> None:
    """Raise TargetsSum unless the percents sum to exactly 100; the error says how much is missing or too much."""
    total = sum(percents, ZERO)
    missing = HUNDRED - total
    if missing:
        amount = f"{plain(abs(missing))} is {'missing' if missing > 0 else 'too much'}"
        raise TargetsSum(f"targets sum to {plain(total)}; {amount}", (), total, missing)


def _entry(draft: TargetDraft, ids: Mapping[str, str]) -> Target:
    _check_percent(draft.percent)
    if draft.band is not None:
        _check_band(draft.band)
    if len(draft.assets) > MAX_MEMBERS:
        raise LimitExceeded(
            f"the entry names {len(draft.assets)} assets; at most {MAX_MEMBERS} are allowed", ["assets"]
        )
    key = draft.key or (draft.assets[0] if draft.assets else draft.asset_class.value if draft.asset_class else "")
    if not key:
        raise Required("the entry names no asset; give assets or an assetClass", ["assets"])
    if len(key) > MAX_KEY_LENGTH or key != key.strip():
        raise InvalidInput(
            f"key {key[:70]!r} must have 1 to {MAX_KEY_LENGTH} characters and no space around it", ["key"]
        )
    if key == CASH:
        return _cash_entry(draft)
    if not draft.assets and not draft.asset_class:
        if key not in ids:
            raise InvalidInput(f"sleeve {key} names no asset, and no asset has that symbol; give assets", ["assets"])
        return Target(key, draft.percent, (ids[key],), None, draft.band)
    for place, symbol in enumerate(draft.assets):
        if symbol not in ids:
            raise InvalidInput(
                f"no asset has the symbol {symbol.rstrip(':')}; an operator can add it", ["assets", place]
            )
    return Target(key, draft.percent, tuple(ids[symbol] for symbol in draft.assets), draft.asset_class, draft.band)


def _cash_entry(draft: TargetDraft) -> Target:
    if draft.assets:
        raise InvalidInput("the key CASH means uninvested cash; a sleeve with assets needs another key", ["key"])
    if draft.asset_class not in (None, AssetClass.CASH):
        raise InvalidInput("the key CASH means uninvested cash and takes no other assetClass", ["assetClass"])
    return Target(CASH, draft.percent, (), None, draft.band)


def _check_percent(percent: Decimal) -> None:
    if not ZERO <= percent <= HUNDRED:
        raise InvalidInput(f"percent is {plain(percent)}; it must be from 0 to 100", ["percent"])
    if percent != round_half_even(percent, PERCENT_PLACES):
        raise InvalidInput(f"percent {plain(percent)} has more than {PERCENT_PLACES} decimal places", ["percent"])


def _check_band(band: Band) -> None:
    try:
        bands.check(band)
    except SteelyardError as error:
        raise error.under("band") from None


def _check_unique(entries: Sequence[Target]) -> None:
    keys: dict[str, int] = {}
    assets: dict[str, str] = {}
    classes: dict[AssetClass, str] = {}
    for index, entry in enumerate(entries):
        if entry.key in keys:
            raise Duplicate(f"key {entry.key} is given in entries {keys[entry.key]} and {index}", [index, "key"])
        keys[entry.key] = index
        if entry.asset_class:
            if other := classes.get(entry.asset_class):
                name = entry.asset_class.value
                raise Duplicate(f"class {name} is in sleeves {other} and {entry.key}", [index, "assetClass"])
            classes[entry.asset_class] = entry.key
        for place, asset_id in enumerate(entry.assets):
            if other := assets.get(asset_id):
                raise Duplicate(f"an asset of sleeve {entry.key} is already in {other}", [index, "assets", place])
            assets[asset_id] = entry.key
