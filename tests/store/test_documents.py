"""Documents hold core values, and give back equal ones."""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import orjson
import pytest

from app.core import drift
from app.core.bands import SMART, Band, BandKind, Destination
from app.core.drift import Entry, Report
from app.core.optimize.allocate import PlanScope
from app.core.plan import PlanRequest, PlanSummary, TaxEstimate
from app.core.policy import LotMethod, Policy
from app.core.portfolio import Asset
from app.store import documents
from tests.builders import absolute, asset, hybrid, relative, snapshot

PRECISE = Decimal("123456789012345678901234567890.123456789012345678")


@pytest.mark.parametrize(
    "value",
    [
        SMART,
        absolute("5"),
        relative("20", floor="1", cap="5"),
        hybrid("5", "25"),
        Policy(),
        Policy(
            default_band=absolute("2.5"),
            alert_on_warning=True,
            destination=Destination.SHARE,
            band_kept=Decimal("0.875"),
            lot_method=LotMethod.HIFO,
            min_trade=PRECISE,
        ),
        PlanRequest(PlanScope.CASH_FLOW, Decimal("-0.01"), ("AAPL", "MSFT")),
        PlanSummary(PRECISE, Decimal(0), None, Decimal(1), Decimal(2), TaxEstimate(Decimal(-3)), Decimal("1E+5")),
        asset("AAPL", step="0.00000001"),
    ],
)
def test_a_value_comes_back_equal(value: object) -> None:
    assert documents.load(type(value), documents.dump(value)) == value


def test_a_band_reads_as_it_is_configured() -> None:
    assert documents.to_document(absolute("5")) == {"kind": "ABSOLUTE", "absolute": "5"}
    assert documents.from_document(Band, {"kind": "HYBRID", "absolute": "5", "relative": "25"}) == hybrid("5", "25")


def measured() -> Report:
    return drift.measure(
        snapshot(
            "33.333333333333333333 AAPL @ 180.123456789, 5 XYZ @ 7.7, 1000 cash",
            {"AAPL": "50", "CASH": "50"},
            ages={"XYZ": timedelta(days=9)},
            rates={"EUR/USD": "1.1"},
        )
    )


def test_a_report_comes_back_without_its_holdings() -> None:
    report = measured()
    expected = replace(report, valuation=replace(report.valuation, holdings=()))
    assert documents.load(Report, documents.dump_report(report)) == expected


def test_assets_are_written_in_full() -> None:
    entry = measured().entries[0]
    document = documents.to_document(entry)
    assert document["members"][0]["asset"]["symbol"] == "AAPL"
    assert documents.from_document(Entry, document) == entry


def test_a_document_of_before_a_field_existed_takes_its_default() -> None:
    document = orjson.loads(documents.dump(asset("AAPL")))
    del document["identical_group"]
    document["retired"] = "field"
    assert documents.from_document(Asset, document) == asset("AAPL")
    assert documents.from_document(Band, {"kind": "ABSOLUTE"}) == Band(BandKind.ABSOLUTE)
