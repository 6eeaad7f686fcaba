"""Exact numbers: the Decimal context, the gate in, the formatter out, and every rounding by its name.

Sums, differences and products are exact: the context has 100 digits and traps Inexact. Quotients and roundings
go through the named functions below, which say the places and the direction.
"""

import re
from collections.abc import Callable
from decimal import (
    ROUND_CEILING,
    ROUND_DOWN,
    ROUND_FLOOR,
    ROUND_HALF_EVEN,
    Context,
    Decimal,
    DivisionByZero,
    Inexact,
    InvalidOperation,
    Overflow,
    localcontext,
)
from fractions import Fraction
from functools import wraps
from typing import Final, ParamSpec, TypeVar

from app.core.errors import InvalidInput

DIGITS: Final = 100
EXACT: Final = Context(prec=DIGITS, traps=[Inexact, InvalidOperation, DivisionByZero, Overflow])
ROUNDED: Final = Context(prec=DIGITS, traps=[InvalidOperation, DivisionByZero, Overflow])

ZERO: Final = Decimal(0)
ONE: Final = Decimal(1)
HUNDRED: Final = Decimal(100)

QUANTITY_PLACES: Final = 18
PRICE_PLACES: Final = 18
MONEY_PLACES: Final = 10
UNENDING_PLACES: Final = 20
PERCENT_PLACES: Final = 6
RATE_DIGITS: Final = 12

QUANTITY_LIMIT: Final = Decimal(10) ** 15
PRICE_LIMIT: Final = Decimal(10) ** 12
PRICE_MOST: Final = Decimal("9" * 12 + "." + "9" * PRICE_PLACES)
MONEY_LIMIT: Final = Decimal(10) ** 27

P = ParamSpec("P")
R = TypeVar("R")

_NUMBER: Final = re.compile(r"-?[0-9]{1,40}(\.[0-9]{1,40})?")


def exactly(function: Callable[P, R]) -> Callable[P, R]:
    """Run `function` in the exact context: a sum, difference or product that would be rounded is refused."""

    @wraps(function)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        with localcontext(EXACT):
            try:
                return function(*args, **kwargs)
            except Inexact:
                raise InvalidInput(
                    f"the numbers need more than {DIGITS} digits to be added exactly; use a coarser scale"
                ) from None

    return run


def parse(
    text: object,
    *,
    places: int,
    minimum: Decimal | None = None,
    limit: Decimal | None = None,
    what: str = "value",
) -> Decimal:
    """Read a number at the door: a plain-notation string or an integer; never a float, an exponent, NaN or infinity.

    `places` is the most decimal places, `minimum` the least value allowed, `limit` the magnitude it must stay below.
    Nothing is rounded: what does not fit is refused with InvalidInput. Digits are ASCII only.
    """
    if isinstance(text, bool) or not isinstance(text, str | int | Decimal):
        raise InvalidInput(f"{what} must be a decimal string or an integer, not {type(text).__name__}")
    # Through Decimal: Python refuses to write an int of more than 4300 digits.
    written = text if isinstance(text, str) else format(Decimal(text), "f")
    if not _NUMBER.fullmatch(written):
        raise InvalidInput(f"{what} must be a plain decimal number such as 1250.5, not {written[:40]!r}")
    number = Decimal(written)
    fraction = written.partition(".")[2].rstrip("0")
    if len(fraction) > places:
        raise InvalidInput(f"{what} {written[:40]} has {len(fraction)} decimal places; at most {places} are allowed")
    if minimum is not None and number < minimum:
        raise InvalidInput(f"{what} {written[:40]} is below {plain(minimum)}")
    if limit is not None and number.copy_abs() >= limit:  # abs() would round to the ambient context
        raise InvalidInput(f"{what} {written[:40]} must be smaller than {plain(limit)}")
    return number if number else ZERO


def plain(number: Decimal) -> str:
    """Write a number in plain notation without trailing zeros: the one formatter out. Minus zero is 0."""
    if not number:
        return "0"
    text = format(number, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


def quantum(places: int) -> Decimal:
    """Return one unit of the last of `places` decimal places."""
    return Decimal(1).scaleb(-places)


def round_half_even(number: Decimal, places: int) -> Decimal:
    """Round to `places` decimals, ties to even."""
    return number.quantize(quantum(places), ROUND_HALF_EVEN, ROUNDED)


def round_down(number: Decimal, places: int) -> Decimal:
    """Round to `places` decimals toward zero."""
    return number.quantize(quantum(places), ROUND_DOWN, ROUNDED)


def round_up(number: Decimal, places: int) -> Decimal:
    """Round to `places` decimals toward plus infinity."""
    return number.quantize(quantum(places), ROUND_CEILING, ROUNDED)


def round_significant(number: Decimal, digits: int) -> Decimal:
    """Round to `digits` significant digits, ties to even."""
    return Context(prec=digits, rounding=ROUND_HALF_EVEN).plus(number)


def quotient(numerator: Decimal, denominator: Decimal, places: int) -> Decimal:
    """Return numerator / denominator to `places` decimals, ties to even.

    Divided to 100 digits first: with operands of at most 75 digits a quotient that is not a tie at `places`
    differs from the tie by more than the hundredth digit, so rounding twice is rounding once.
    """
    return round_half_even(ROUNDED.divide(numerator, denominator), places)


def quotient_down(numerator: Decimal, denominator: Decimal, places: int) -> Decimal:
    """Return numerator / denominator to `places` decimals, toward zero."""
    return round_down(ROUNDED.divide(numerator, denominator), places)


def root(number: Fraction, degree: int, places: int) -> Decimal:
    """Return the `degree`-th root of a number >= 0 to `places` decimals, ties to even; by integers, so exactly.

    k = floor of the root in units of the last place; the half above k is compared by its power, not by a quotient.
    """
    scaled = number * 10 ** (places * degree)
    floor = _floor_root(scaled.numerator // scaled.denominator, degree)
    beyond = 2**degree * scaled - (2 * floor + 1) ** degree
    up = beyond > 0 or (not beyond and floor % 2)
    return Decimal(floor + 1 if up else floor).scaleb(-places, ROUNDED)


def _floor_root(number: int, degree: int) -> int:
    """Return the largest integer whose power is not above `number`, by Newton's method from above."""
    if not number:
        return 0
    guess = 1 << -(-number.bit_length() // degree)
    while (better := ((degree - 1) * guess + number // guess ** (degree - 1)) // degree) < guess:
        guess = better
    return guess


def round_up_fraction(number: Fraction, places: int) -> Decimal:
    """Round a fraction to `places` decimals toward plus infinity."""
    units = -(-number.numerator * 10**places // number.denominator)
    return Decimal(units).scaleb(-places, ROUNDED)


def plain_fraction(number: Fraction) -> str:
    """Write a fraction as a plain decimal: exactly where it ends within 36 places, else half-even to 20 places.

    36 places hold any product of a quantity and a price.
    """
    places = QUANTITY_PLACES + PRICE_PLACES
    if 10**places % number.denominator:
        places = UNENDING_PLACES
    return plain(round_half_even_fraction(number, places))


def round_half_even_fraction(number: Fraction, places: int) -> Decimal:
    """Round a fraction to `places` decimals, ties to even."""
    units, rest = divmod(number.numerator * 10**places, number.denominator)
    beyond = 2 * rest - number.denominator
    units += beyond > 0 or (not beyond and units % 2)
    return Decimal(units).scaleb(-places, ROUNDED)


def floor_to_step(number: Decimal, step: Decimal) -> Decimal:
    """Return the largest multiple of `step` that is not above `number`; a step of 0 keeps 18 decimals, rounded down.

    Used for quantities, which are never negative: never sell more than is held, never buy more than is paid for.
    """
    if not step:
        return round_down(number, QUANTITY_PLACES)
    steps = ROUNDED.divide(number, step).to_integral_value(ROUND_FLOOR)
    whole = EXACT.multiply(steps, step)
    return whole if whole <= number else EXACT.subtract(whole, step)


def ceil_to_step(number: Decimal, step: Decimal) -> Decimal:
    """Return the smallest multiple of `step` that is not below `number` >= 0; a step of 0 leaves it as it is."""
    floored = floor_to_step(number, step) if step else number
    return floored if floored == number else EXACT.add(floored, step)
