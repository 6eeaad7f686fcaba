"""The portfolio file's bands: the kinds as they are written, one side or both."""

from dataclasses import replace
from decimal import Decimal

from app.core import bands, scalars
from app.core.bands import FACTOR, HYBRID_ABSOLUTE, HYBRID_RELATIVE, SMART, WINDOW_DAYS, Band, BandKind, Side
from app.core.errors import InvalidInput
from app.core.fields import Fields, read_bool


def read_band(item: object) -> Band:
    """Read a band: one of {"absolute"}, {"relative"}, {"hybrid": {...}}, {"smart": true}, {"volatility": {...}} and
    {"cost": true}, with "floor" and "cap" where they apply, and "above" for a side above the target that differs.
    """
    fields = Fields(item)
    above = fields.maybe("above", lambda value: _side(Fields(value)))
    return bands.check(bands.two_sided(_side(fields), above))


def _side(fields: Fields) -> Side:
    side = make_side(
        absolute=fields.maybe("absolute", lambda value: scalars.percent(value, "absolute")),
        relative=fields.maybe("relative", lambda value: scalars.percent(value, "relative")),
        hybrid=fields.maybe("hybrid", _hybrid),
        smart=fields.maybe("smart", read_bool),
        volatility=fields.maybe("volatility", _volatility),
        cost=fields.maybe("cost", read_bool),
        floor=fields.maybe("floor", lambda value: scalars.percent(value, "floor")),
        cap=fields.maybe("cap", lambda value: scalars.percent(value, "cap")),
    )
    fields.end()
    return side


def make_side(
    *,
    absolute: Decimal | None,
    relative: Decimal | None,
    hybrid: Side | None,
    smart: bool | None,
    volatility: Side | None,
    cost: bool | None,
    floor: Decimal | None,
    cap: Decimal | None,
) -> Side:
    """Make a side of the one kind that is given; floor and cap go with relative, volatility and cost."""
    made = {
        "absolute": None if absolute is None else Side(BandKind.ABSOLUTE, absolute=absolute),
        "relative": None if relative is None else Side(BandKind.RELATIVE, relative=relative),
        "hybrid": hybrid,
        "smart": bands.below(SMART) if smart else None,
        "volatility": volatility,
        "cost": Side(BandKind.COST) if cost else None,
    }
    given = [name for name, side in made.items() if side is not None]
    if len(given) != 1:
        found = " and ".join(given) or "none"
        kinds = "absolute, relative, hybrid, smart, volatility and cost"
        raise InvalidInput(f"a band is exactly one of {kinds}; {found} is given")
    side = made[given[0]]
    assert side is not None
    if floor is None and cap is None:
        return side
    if given[0] not in ("relative", "volatility", "cost"):
        raise InvalidInput(
            "floor and cap go with relative, volatility and cost only", ["floor" if floor is not None else "cap"]
        )
    return replace(side, floor=floor, cap=cap)


def _hybrid(item: object) -> Side:
    fields = Fields(item)
    absolute = fields.take("absolute", lambda value: scalars.percent(value, "absolute"), HYBRID_ABSOLUTE)
    relative = fields.take("relative", lambda value: scalars.percent(value, "relative"), HYBRID_RELATIVE)
    fields.end()
    return Side(BandKind.HYBRID, absolute=absolute, relative=relative)


def _volatility(item: object) -> Side:
    fields = Fields(item)
    factor = fields.take("factor", scalars.band_factor, FACTOR)
    days = fields.take("windowDays", _days, WINDOW_DAYS)
    fields.end()
    return Side(BandKind.VOLATILITY, factor=factor, window_days=days)


def _days(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise InvalidInput(f"must be a whole number of days, not {str(value)[:20]!r}")
    bands.check_window(value)
    return value
