"""The gate in, the formatter out, and the roundings."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.core.errors import InvalidInput
from app.core.money import (
    ceil_to_step,
    exactly,
    floor_to_step,
    parse,
    plain,
    quotient,
    quotient_down,
    round_down,
    round_half_even,
    round_significant,
    round_up,
)
from tests.core.samples import PROPERTY


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("1250.5", "1250.5"),
        ("-3", "-3"),
        ("0007", "7"),
        ("-0", "0"),
        ("-0.000", "0"),
        ("1.5000000000000", "1.5"),  # trailing zeros are no places
        (42, "42"),
        (-7, "-7"),
        (Decimal("1E+2"), "100"),
        (Decimal("1E-3"), "0.001"),
    ],
)
def test_plain_numbers_are_read_exactly(written: object, read: str) -> None:
    number = parse(written, places=3)
    assert plain(number) == read
    assert not (number.is_zero() and number.is_signed())


@pytest.mark.parametrize(
    "written",
    [
        "NaN",
        "Infinity",
        "-inf",
        "1e5",
        "1E5",
        "",
        " 1",
        "1 ",
        "1\n",
        "+1",
        "1.",
        ".5",
        "1,000",
        "1_000",
        "0x10",
        "--1",
        "1.2.3",
        "٣",  # Arabic-Indic three
        "１２",  # full-width digits
        "²",
        "−1",  # a minus sign that is not a hyphen
        "1.2345",
        "9" * 41,
        pytest.param(10**5000, id="5001 digits"),
        1.5,
        0.0,
        float("nan"),
        True,
        False,
        None,
        [],
        b"1",
        Decimal("NaN"),
        Decimal("sNaN"),
        Decimal("Infinity"),
        Decimal("0.0001"),
    ],
)
def test_what_is_no_plain_number_of_three_places_is_refused(written: object) -> None:
    with pytest.raises(InvalidInput):
        parse(written, places=3)


def test_bounds_are_named_in_the_message() -> None:
    zero, thousand = Decimal(0), Decimal(1000)
    assert parse("999.99", places=2, minimum=zero, limit=thousand) == Decimal("999.99")
    with pytest.raises(InvalidInput, match=r"quantity 1000 must be smaller than 1000"):
        parse("1000", places=2, limit=thousand, what="quantity")
    with pytest.raises(InvalidInput, match=r"quantity -1000 must be smaller than 1000"):
        parse("-1000", places=2, limit=thousand, what="quantity")
    with pytest.raises(InvalidInput, match=r"price -0.01 is below 0"):
        parse("-0.01", places=2, minimum=zero, what="price")
    with pytest.raises(InvalidInput, match=r"price 0.001 has 3 decimal places; at most 2 are allowed"):
        parse("0.001", places=2, what="price")


@pytest.mark.parametrize(
    ("number", "text"),
    [("1E+3", "1000"), ("1E-7", "0.0000001"), ("1.50", "1.5"), ("100", "100"), ("-0.0", "0"), ("-2.0", "-2")],
)
def test_numbers_are_written_plainly(number: str, text: str) -> None:
    assert plain(Decimal(number)) == text


@PROPERTY
@given(st.decimals(min_value=-(10**15), max_value=10**15, places=18))
def test_what_is_written_is_read_back(number: Decimal) -> None:
    assert parse(plain(number), places=18) == number


@pytest.mark.parametrize(
    ("number", "half_even", "down", "up"),
    [
        ("0.125", "0.12", "0.12", "0.13"),
        ("0.135", "0.14", "0.13", "0.14"),
        ("-0.125", "-0.12", "-0.12", "-0.12"),
        ("-0.129", "-0.13", "-0.12", "-0.12"),
        ("0.1200000000000000000000000000000000000001", "0.12", "0.12", "0.13"),
    ],
)
def test_roundings_go_where_their_names_say(number: str, half_even: str, down: str, up: str) -> None:
    exact = Decimal(number)
    found = (round_half_even(exact, 2), round_down(exact, 2), round_up(exact, 2))
    assert found == (Decimal(half_even), Decimal(down), Decimal(up))


def test_rates_have_twelve_significant_digits() -> None:
    assert round_significant(Decimal("0.00123456789012345"), 12) == Decimal("0.00123456789012")
    assert round_significant(Decimal("123456.7890125"), 12) == Decimal("123456.789012")  # tie to even
    assert round_significant(Decimal("123456.7890135"), 12) == Decimal("123456.789014")


def test_quotients_round_once() -> None:
    assert quotient(Decimal(2), Decimal(3), 6) == Decimal("0.666667")
    assert quotient(Decimal(1), Decimal(8), 2) == Decimal("0.12")  # a tie, to even
    # A hair above the tie, forty digits down: still not a tie.
    assert quotient(Decimal("0.1250000000000000000000000000000000000001"), Decimal(1), 2) == Decimal("0.13")
    assert quotient_down(Decimal(2), Decimal(3), 2) == Decimal("0.66")
    assert quotient_down(Decimal(-2), Decimal(3), 2) == Decimal("-0.66")


@pytest.mark.parametrize(
    ("number", "step", "floor", "ceiling"),
    [
        ("9.99", "1", "9", "10"),
        ("10", "1", "10", "10"),
        ("0.29999", "0.1", "0.2", "0.3"),
        ("0.3", "0.1", "0.3", "0.3"),
        ("7.4", "2.5", "5", "7.5"),
        ("0", "1", "0", "0"),
        ("999999999999999.999999999999999999", "0.000000000000000007", "999999999999999.999999999999999994", None),
    ],
)
def test_steps_down_and_up(number: str, step: str, floor: str, ceiling: str | None) -> None:
    assert floor_to_step(Decimal(number), Decimal(step)) == Decimal(floor)
    if ceiling is not None:
        assert ceil_to_step(Decimal(number), Decimal(step)) == Decimal(ceiling)


@PROPERTY
@given(
    st.decimals(min_value=0, max_value=10**9, places=18),
    st.decimals(min_value=Decimal("1E-18"), max_value=1000, places=18),
)
def test_floor_to_step_is_the_largest_multiple_not_above(number: Decimal, step: Decimal) -> None:
    scaled, unit = int(number.scaleb(18)), int(step.scaleb(18))
    assert int(floor_to_step(number, step).scaleb(18)) == scaled // unit * unit
    assert int(ceil_to_step(number, step).scaleb(18)) == -(-scaled // unit) * unit


def test_a_sum_that_does_not_fit_is_refused_not_rounded() -> None:
    @exactly
    def add(left: Decimal, right: Decimal) -> Decimal:
        return left + right

    assert plain(add(Decimal("1E+49"), Decimal("1E-50"))) == "1" + "0" * 49 + "." + "0" * 49 + "1"
    with pytest.raises(InvalidInput, match="more than 100 digits"):
        add(Decimal("1E+60"), Decimal("1E-60"))
