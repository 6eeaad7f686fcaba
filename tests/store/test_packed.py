"""What is packed into a drift log comes back equal, to the last digit."""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import orjson
from hypothesis import given

from app.core.bands import Width
from app.core.drift import Entry, Report, measure
from app.core.policy import Policy
from app.core.stats import Volatility
from app.core.targets import TargetDraft
from app.store import packed
from tests.builders import AS_OF, absolute, sleeve, snapshot
from tests.core.samples import PROPERTY, ledgers, policies, prices_of, targets


def read_back(report: Report, entries: tuple[Entry, ...]) -> tuple[Entry, ...]:
    """Pack entries of a report, and read them as a reader does who knows the assets by row only."""
    named = {member.asset.id: member.asset for entry in entries for member in entry.members}
    rows = {asset_id: row for row, asset_id in enumerate(named, 1001)}
    detail = packed.unpack(packed.pack(entries, rows))
    assert set(packed.assets_in(detail)) == set(rows.values())
    assert report.base is not None
    return packed.entries_of(detail, report.base, {rows[asset_id]: asset for asset_id, asset in named.items()})


@PROPERTY
@given(ledgers(), targets(), policies())
def test_every_report_comes_back_equal(
    ledger: dict[str, str], wanted: dict[str, str | TargetDraft], policy: Policy
) -> None:
    report = measure(snapshot(ledger, wanted, policy=policy, prices=prices_of(ledger)))
    if report.entries:
        assert read_back(report, report.entries) == report.entries


def test_rates_old_prices_and_sides_come_back_equal() -> None:
    report = measure(
        snapshot(
            "33.333333333333333333 AAPL @ 180.123456789123456789, 5 XYZ @ 7.7, 0.1 SAP @ 3.3, 20 EUR cash, 1 cash",
            {"AAPL": sleeve("50", "AAPL", "SAP", band=absolute("0.000001")), "CASH": "50"},
            rates={"EUR/USD": "1.08512345678"},
            ages={"XYZ": timedelta(days=9)},
        )
    )
    first, *others = report.entries
    uneven = replace(
        first, width=Width(Decimal("0.5"), Decimal("0.25")), why="It costs more to sell.", upper=Decimal("50.25")
    )
    measured = Volatility(Decimal("18.25"), 250, 365)
    uneven = replace(uneven, volatility=measured, volatility_above=replace(measured, percent=None, window_days=30))
    again = read_back(report, (uneven, *others))
    assert again[1:] == tuple(others)
    assert (again[0].width, again[0].why, again[0].upper) == (uneven.width, uneven.why, uneven.upper)
    assert again[0].lower == Decimal("49.5")
    assert (again[0].volatility, again[0].volatility_above) == (uneven.volatility, uneven.volatility_above)


def test_names_and_what_follows_are_not_kept() -> None:
    report = measure(snapshot("6 AAPL @ 150, 8 BND @ 50", {"AAPL": "60", "BND": "40"}, band=absolute("5"), as_of=AS_OF))
    detail = packed.unpack(packed.pack(report.entries, {"AAPL": 1, "BND": 2}))
    assert orjson.dumps(detail) == (
        b'[[{"kind":"ABSOLUTE","absolute":"5"}],'
        b'["AAPL","60",0,"5",[[1,"6","150"]],"BREACHED"],["BND","40",0,"5",[[2,"8","50"]],"BREACHED"]]'
    )
