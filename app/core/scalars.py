"""The scalars of the API and of the portfolio file: text in, values out, and back. One gate for both."""

import re
import unicodedata
from datetime import UTC, date, datetime
from decimal import Decimal
from enum import Enum
from typing import Final, TypeVar

from app.core.bands import check_factor
from app.core.errors import InvalidInput
from app.core.money import (
    HUNDRED,
    MONEY_LIMIT,
    MONEY_PLACES,
    PERCENT_PLACES,
    PRICE_LIMIT,
    PRICE_PLACES,
    QUANTITY_LIMIT,
    QUANTITY_PLACES,
    ZERO,
    parse,
)

E = TypeVar("E", bound=Enum)

LEAST_AVERSION: Final = Decimal("0.1")
MOST_AVERSION: Final = 1000
MOST_IMPACT: Final = 100
MOST_DRIFT_PRICE: Final = 1000
MOST_COLLAR_DAYS: Final = 30

# Control characters and line ends; and halves of a character, which no database and no terminal takes.
_UNFIT: Final = frozenset({"Cc", "Cs", "Zl", "Zp"})
_CURRENCY: Final = re.compile(r"[A-Z][A-Z0-9]{1,9}")
_SYMBOL: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9.\-_/ ]{0,31}")
_INSTANT: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,6})?Z")
_DAY: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_DURATION: Final = re.compile(r"P(?:([0-9]{1,5})D)?(?:T(?:([0-9]{1,6})H)?(?:([0-9]{1,7})M)?(?:([0-9]{1,9})S)?)?")


def quantity(value: object, what: str = "quantity") -> Decimal:
    """Units held: above 0, below 1e15, at most 18 decimals."""
    number = parse(value, places=QUANTITY_PLACES, minimum=ZERO, limit=QUANTITY_LIMIT, what=what)
    if not number:
        raise InvalidInput(f"{what} is 0; it must be more")
    return number


def step(value: object, what: str = "step") -> Decimal:
    """Smallest tradable quantity: 0 for any fraction, below 1e15."""
    return parse(value, places=QUANTITY_PLACES, minimum=ZERO, limit=QUANTITY_LIMIT, what=what)


def price(value: object, what: str = "price") -> Decimal:
    """Price of one unit: above 0, below 1e12, at most 18 decimals."""
    number = parse(value, places=PRICE_PLACES, minimum=ZERO, limit=PRICE_LIMIT, what=what)
    if not number:
        raise InvalidInput(f"{what} is 0; it must be more")
    return number


def unit_cost(value: object, what: str = "unitCost") -> Decimal:
    """Cost of one unit: 0 or more, for shares that were a gift."""
    return parse(value, places=PRICE_PLACES, minimum=ZERO, limit=PRICE_LIMIT, what=what)


def money(value: object, what: str = "amount", *, signed: bool = False) -> Decimal:
    """Amount of money, at most 10 decimals; not negative unless `signed`."""
    return parse(value, places=MONEY_PLACES, minimum=None if signed else ZERO, limit=MONEY_LIMIT, what=what)


def percent(value: object, what: str = "percent") -> Decimal:
    """Percent from 0 to 100, at most 6 decimals: "12.5" is 12.5 %."""
    number = parse(value, places=PERCENT_PLACES, minimum=ZERO, what=what)
    if number > HUNDRED:
        raise InvalidInput(f"{what} {str(value)[:40]} is above 100")
    return number


def risk_aversion(value: object, what: str = "riskAversion") -> Decimal:
    """How much variance is disliked, from 0.1 to 1000 with at most 6 decimals; 5 is a usual investor."""
    number = parse(value, places=PERCENT_PLACES, minimum=LEAST_AVERSION, what=what)
    if number > MOST_AVERSION:
        raise InvalidInput(f"{what} is {str(value)[:40]}; at most {MOST_AVERSION} is allowed")
    return number


def drift_price(value: object, what: str = "driftPrice") -> Decimal:
    """What one unit of money off target costs: above 0, at most 1000, with at most 6 decimals."""
    number = parse(value, places=PERCENT_PLACES, minimum=ZERO, what=what)
    if not ZERO < number <= MOST_DRIFT_PRICE:
        raise InvalidInput(f"{what} is {str(value)[:40]}; it must be above 0 and at most {MOST_DRIFT_PRICE}")
    return number


def collar_days(value: object, what: str = "collarDays") -> Decimal:
    """How many days' volatility a limit is off the last price, from 0 to 30 with at most 6 decimals."""
    number = parse(value, places=PERCENT_PLACES, minimum=ZERO, what=what)
    if number > MOST_COLLAR_DAYS:
        raise InvalidInput(f"{what} is {str(value)[:40]}; at most {MOST_COLLAR_DAYS} is allowed")
    return number


def band_factor(value: object, what: str = "factor") -> Decimal:
    """How many times the volatility a band is wide, from 0.01 to 100 with at most 6 decimals."""
    return check_factor(parse(value, places=PERCENT_PLACES, what=what))


def impact_factor(value: object, what: str = "impactFactor") -> Decimal:
    """Y of the square-root law of impact, from 0 to 100 with at most 6 decimals; about 1 is found in practice."""
    number = parse(value, places=PERCENT_PLACES, minimum=ZERO, what=what)
    if number > MOST_IMPACT:
        raise InvalidInput(f"{what} is {str(value)[:40]}; at most {MOST_IMPACT} is allowed")
    return number


def currency(value: object, what: str = "currency") -> str:
    """Currency code: 2 to 10 upper-case letters or digits, such as USD or USDT."""
    if not isinstance(value, str) or not _CURRENCY.fullmatch(value):
        raise InvalidInput(f"{what} must be a code such as USD, not {str(value)[:20]!r}")
    return value


def symbol(value: object, what: str = "symbol") -> str:
    """Ticker: 1 to 32 of letters, digits and . - _ / and space, beginning with a letter or digit."""
    if not isinstance(value, str) or not _SYMBOL.fullmatch(value) or value != value.strip():
        raise InvalidInput(f"{what} must be a ticker such as AAPL or BRK.B, not {str(value)[:40]!r}")
    return value


def text(value: object, what: str, *, longest: int = 200) -> str:
    """Text of 1 to `longest` characters without control characters or surrounding space."""
    if not isinstance(value, str):
        raise InvalidInput(f"{what} must be text, not {type(value).__name__}")
    if not 1 <= len(value) <= longest or value != value.strip() or any(map(_is_unfit, value)):
        raise InvalidInput(f"{what} must be 1 to {longest} characters without control characters or space around it")
    return value


def _is_unfit(sign: str) -> bool:
    return unicodedata.category(sign) in _UNFIT


def instant(value: object, what: str = "time") -> datetime:
    """RFC 3339 instant in UTC with Z, e.g. 2026-11-22T06:00:00Z."""
    if isinstance(value, str) and _INSTANT.fullmatch(value):
        try:
            return datetime.fromisoformat(value)
        except ValueError:
            pass
    raise InvalidInput(f"{what} must be a UTC time such as 2026-11-22T06:00:00Z, not {str(value)[:40]!r}")


def write_instant(value: datetime) -> str:
    """Write an instant in UTC with Z, without microseconds when there are none."""
    return value.astimezone(UTC).replace(tzinfo=None).isoformat() + "Z"


def day(value: object, what: str = "date") -> date:
    """Calendar date, e.g. 2026-11-22."""
    if isinstance(value, str) and _DAY.fullmatch(value):
        try:
            return date.fromisoformat(value)
        except ValueError:
            pass
    raise InvalidInput(f"{what} must be a date such as 2026-11-22, not {str(value)[:40]!r}")


def duration_s(value: object, what: str = "duration") -> int:
    """ISO 8601 duration in days, hours, minutes and whole seconds, as seconds: PT30M is 1800."""
    found = _DURATION.fullmatch(value) if isinstance(value, str) else None
    if not found or not any(found.groups()) or str(value).endswith("T"):
        raise InvalidInput(f"{what} must be a duration such as PT30M or P4D, not {str(value)[:40]!r}")
    days, hours, minutes, seconds = (int(part or 0) for part in found.groups())
    return ((days * 24 + hours) * 60 + minutes) * 60 + seconds


def write_duration(seconds: int) -> str:
    """Write seconds as an ISO 8601 duration."""
    days, rest = divmod(seconds, 86_400)
    hours, rest = divmod(rest, 3600)
    minutes, rest = divmod(rest, 60)
    clock = "".join(f"{number}{unit}" for number, unit in ((hours, "H"), (minutes, "M"), (rest, "S")) if number)
    return f"P{f'{days}D' if days else ''}{f'T{clock}' if clock else ''}" if seconds else "PT0S"


def member(kind: type[E], value: object, what: str) -> E:
    """Member of an enumeration by its name."""
    if isinstance(value, str) and value in kind.__members__:
        return kind[value]
    raise InvalidInput(f"{what} must be one of {', '.join(kind.__members__)}, not {str(value)[:40]!r}")
