"""Targets sum to exactly 100, and name each thing once."""

from decimal import Decimal

import pytest

from app.core.bands import Band
from app.core.errors import Duplicate, InvalidInput, LimitExceeded, Required, SteelyardError, TargetsSum
from app.core.portfolio import AssetClass
from app.core.targets import Target, TargetDraft, Targets, parse
from tests.builders import absolute, asset, relative

IDS = {symbol: f"id-{symbol}" for symbol in ("A", "B", "C", "D")}


def draft(
    percent: str, key: str | None = None, *assets: str, of: AssetClass | None = None, band: Band | None = None
) -> TargetDraft:
    return TargetDraft(Decimal(percent), key, assets, of, band)


def refused(kind: type[SteelyardError], *drafts: TargetDraft) -> tuple[str, tuple[str, ...]]:
    with pytest.raises(kind) as caught:
        parse(drafts, IDS)
    assert type(caught.value) is kind
    return caught.value.message, caught.value.path


def test_a_key_alone_is_the_asset_of_that_symbol() -> None:
    found = parse([draft("60", "A"), draft("40", None, "B", "C")], IDS, version=3)
    assert found == Targets((Target("A", Decimal(60), ("id-A",)), Target("B", Decimal(40), ("id-B", "id-C"))), 3)


def test_a_class_gives_its_name_to_the_sleeve() -> None:
    found = parse([draft("60", of=AssetClass.STOCK), draft("40", "Safe", of=AssetClass.BOND)], IDS)
    assert [entry.key for entry in found.entries] == ["STOCK", "Safe"]


def test_cash_alone_is_uninvested_cash() -> None:
    assert parse([draft("95", "A"), draft("5", "CASH")], IDS).has_cash
    assert parse([draft("95", "A"), draft("5", of=AssetClass.CASH)], IDS).entries[1] == Target("CASH", Decimal(5))
    assert not parse([draft("95", "A"), draft("5", "Liquid", of=AssetClass.CASH)], IDS).has_cash


@pytest.mark.parametrize(
    ("percents", "message", "missing"),
    [
        (["60", "39.999999"], "targets sum to 99.999999; 0.000001 is missing", "0.000001"),
        (["60", "40.000001"], "targets sum to 100.000001; 0.000001 is too much", "-0.000001"),
        (["60", "39.5"], "targets sum to 99.5; 0.5 is missing", "0.5"),
        (["100", "100"], "targets sum to 200; 100 is too much", "-100"),
        ([], "targets sum to 0; 100 is missing", "100"),
    ],
)
def test_any_sum_but_exactly_100_is_refused_and_says_how_much(percents: list[str], message: str, missing: str) -> None:
    with pytest.raises(TargetsSum) as caught:
        parse([draft(percent, key) for percent, key in zip(percents, "AB", strict=False)], IDS)
    assert caught.value.message == message
    assert caught.value.missing == Decimal(missing)
    assert caught.value.total == 100 - Decimal(missing)


def test_thirds_with_six_decimals_sum_to_100() -> None:
    third = "33.333333"
    assert parse([draft(third, "A"), draft(third, "B"), draft("33.333334", "C")], IDS)
    assert parse([draft("100.000000", "A"), draft("0", "B")], IDS).entries[1].percent == 0


@pytest.mark.parametrize("percent", ["-0.000001", "100.000001", "33.3333333"])
def test_a_percent_out_of_range_names_its_entry(percent: str) -> None:
    _, path = refused(InvalidInput, draft("10", "A"), draft(percent, "B"))
    assert path == ("1", "percent")


def test_duplicates_are_named_with_both_places() -> None:
    message, path = refused(Duplicate, draft("60", "X", "A"), draft("40", "X", "B"))
    assert (message, path) == ("key X is given in entries 0 and 1", ("1", "key"))
    message, path = refused(Duplicate, draft("60", "X", "A"), draft("40", "Y", "B", "A"))
    assert (message, path) == ("an asset of sleeve Y is already in X", ("1", "assets", "1"))
    message, path = refused(Duplicate, draft("60", "X", of=AssetClass.BOND), draft("40", "Y", of=AssetClass.BOND))
    assert (message, path) == ("class BOND is in sleeves X and Y", ("1", "assetClass"))
    message, path = refused(Duplicate, draft("100", "X", "A", "A"))
    assert path == ("0", "assets", "1")
    # The key of the second entry is the symbol of an asset in the first.
    message, path = refused(Duplicate, draft("60", "X", "A"), draft("40", "A"))
    assert path == ("1", "assets", "0")


def test_unknown_symbols_and_empty_entries() -> None:
    message, path = refused(InvalidInput, draft("50", "X", "A", "Z"), draft("50", "B"))
    assert (message, path) == ("no asset has the symbol Z; an operator can add it", ("0", "assets", "1"))
    _, path = refused(InvalidInput, draft("100", "Growth"))
    assert path == ("0", "assets")
    _, path = refused(Required, draft("100"))
    assert path == ("0", "assets")


def test_the_key_cash_takes_nothing_else() -> None:
    assert refused(InvalidInput, draft("100", "CASH", "A"))[1] == ("0", "key")
    assert refused(InvalidInput, draft("100", "CASH", of=AssetClass.STOCK))[1] == ("0", "assetClass")


@pytest.mark.parametrize("key", [" A", "A ", "\tA", "K" * 65])
def test_keys_have_bounds(key: str) -> None:
    assert refused(InvalidInput, draft("100", key, "A"))[1] == ("0", "key")


def test_five_hundred_entries_are_allowed_and_one_more_is_not() -> None:
    ids = {f"S{number}": f"S{number}" for number in range(501)}
    assert len(parse([draft("0.2", f"S{number}") for number in range(500)], ids).entries) == 500
    with pytest.raises(LimitExceeded, match="there are 501 targets; at most 500 are allowed"):
        parse([draft("0.2", f"S{number}") for number in range(501)], ids)
    with pytest.raises(LimitExceeded, match="names 501 assets"):
        parse([draft("100", "All", *ids)], ids)


def test_bad_bands_name_their_field() -> None:
    assert refused(InvalidInput, draft("100", "A", band=absolute("100.1")))[1] == ("0", "band", "absolute")
    assert refused(InvalidInput, draft("100", "A", band=relative("-1")))[1] == ("0", "band", "relative")
    message, path = refused(InvalidInput, draft("100", "A", band=relative("20", floor="3", cap="2")))
    assert path == ("0", "band", "floor")
    assert message == "band floor 3 is above its cap 2; lower the floor or raise the cap"


def test_a_class_takes_only_what_no_other_sleeve_names() -> None:
    stocks = Target("Stocks", Decimal(60), (), AssetClass.STOCK)
    named = Target("Tech", Decimal(40), ("A", "GOLD"))
    held = [asset("A"), asset("B"), asset("GOLD", AssetClass.COMMODITY), asset("TLT", AssetClass.BOND)]
    assert Targets((stocks, named)).sleeve_of(held) == {"A": "Tech", "B": "Stocks", "GOLD": "Tech"}
