"""The scalars of the API and of the portfolio file."""

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal

import pytest

from app.core import scalars
from app.core.drift import DriftStatus
from app.core.errors import InvalidInput


@pytest.mark.parametrize(
    ("read", "good", "bad"),
    [
        (scalars.quantity, "999999999999999.999999999999999999", ["1000000000000000", "0", "-1", "1E-3"]),
        (scalars.price, "999999999999.999999999999999999", ["1000000000000", "0", "-1", "0.0000000000000000001"]),
        (scalars.unit_cost, "0", ["-0.01", "1000000000000"]),
        (scalars.step, "0", ["-1"]),
        (scalars.money, "0.0000000001", ["-1", "0.00000000001", "1000000000000000000000000000"]),
        (scalars.percent, "99.999999", ["100.000001", "-0.000001", "1.0000001", "12%", "NaN"]),
    ],
)
def test_numbers_have_bounds(read: Callable[[object], Decimal], good: str, bad: list[str]) -> None:
    assert read(good) == Decimal(good)
    for text in bad:
        with pytest.raises(InvalidInput):
            read(text)


def test_signed_money_may_be_negative() -> None:
    assert scalars.money("-12.5", signed=True) == Decimal("-12.5")
    with pytest.raises(InvalidInput, match=r"amount -12.5 is below 0"):
        scalars.money("-12.5")


@pytest.mark.parametrize("text", ["AAPL", "BRK.B", "BTC-USD", "ES 1", "a"])
def test_tickers(text: str) -> None:
    assert scalars.symbol(text) == text


@pytest.mark.parametrize("text", ["", " AAPL", "AAPL ", "ÄPFEL", "A\n", ".A", "A" * 33, None, 5, "A;DROP"])
def test_what_is_no_ticker_is_refused(text: object) -> None:
    with pytest.raises(InvalidInput, match="must be a ticker"):
        scalars.symbol(text)


def test_instants_are_utc_with_z() -> None:
    noon = datetime(2024, 2, 29, 12, tzinfo=UTC)
    assert scalars.instant("2024-02-29T12:00:00Z") == noon
    assert scalars.write_instant(noon.astimezone(timezone(timedelta(hours=9)))) == "2024-02-29T12:00:00Z"
    for text in (
        "2023-02-29T12:00:00Z",
        "2024-02-29T12:00:00",
        "2024-02-29T12:00:00+00:00",
        "2024-02-29 12:00:00Z",
        "2024-02-29T24:00:01Z",
        "٢٠٢٤-02-29T12:00:00Z",
        0,
    ):
        with pytest.raises(InvalidInput):
            scalars.instant(text)


def test_days_are_calendar_dates() -> None:
    assert scalars.day("2024-02-29") == date(2024, 2, 29)
    for text in ("2023-02-29", "20240229", "2024-W09-4", "2024-2-9", "0000-01-01", None):
        with pytest.raises(InvalidInput):
            scalars.day(text)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("PT30M", 1800), ("P4D", 345_600), ("P1DT1H1M1S", 90_061), ("PT0S", 0), ("PT3600S", 3600)],
)
def test_durations_are_read(text: str, seconds: int) -> None:
    assert scalars.duration_s(text) == seconds
    assert scalars.duration_s(scalars.write_duration(seconds)) == seconds


@pytest.mark.parametrize("text", ["", "P", "PT", "P1DT", "P1M", "P1W", "PT1.5S", "-P1D", "P-1D", "1D", 60, None])
def test_what_is_no_duration_is_refused(text: object) -> None:
    with pytest.raises(InvalidInput, match="must be a duration"):
        scalars.duration_s(text)


def test_members_are_named_as_they_are_written() -> None:
    assert scalars.member(DriftStatus, "WITHIN", "status") is DriftStatus.WITHIN
    for name in ("within", "__class__", None, 1):
        with pytest.raises(InvalidInput, match="status must be one of WITHIN, WARNING, BREACHED"):
            scalars.member(DriftStatus, name, "status")
