"""`steelyard drift FILE`: answers offline, published numbers, and one sentence for whatever a file may hold."""

import json
import re
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from tests.cli.shell import Said, steelyard
from tests.core.samples import PROPERTY

DOCS = Path(__file__).parents[2] / "docs" / "portfolio-file.md"
EXAMPLE: dict[str, Any] = json.loads(re.findall(r"```json\n(.*?)```", DOCS.read_text(), re.DOTALL)[0])
AS_OF = "2024-06-03T16:00:00Z"
PERCENTS = ("target", "actual", "drift", "relativeDrift", "lower", "upper")


def file_of(
    holdings: dict[str, tuple[str, str]], targets: list[dict[str, Any]] | None, **portfolio: Any
) -> dict[str, Any]:
    """Write a file with units and price of each symbol; targets may name symbols that are not held."""
    named = {str(target["key"]) for target in targets or () if "assets" not in target} - {"CASH"} - holdings.keys()
    lots = [{"symbol": symbol, "quantity": units} for symbol, (units, _) in holdings.items() if units != "0"]
    assets = [{"symbol": symbol, "price": price} for symbol, (_, price) in holdings.items()]
    return {
        "steelyard": 1,
        "asOf": AS_OF,
        "assets": [*assets, *({"symbol": symbol} for symbol in sorted(named))],
        "portfolio": {"accounts": [{"lots": lots}], "targets": targets, **portfolio},
    }


def aims(**percents: str) -> list[dict[str, Any]]:
    return [{"key": key, "percent": percent} for key, percent in percents.items()]


def drift(document: object, folder: Path, *options: str) -> Said:
    file = folder / "portfolio.json"
    file.write_text(document if isinstance(document, str) else json.dumps(document))
    return steelyard("drift", file, *options)


def answer(document: object, folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = drift(document, folder, "--json").json()
    return found


def column(found: dict[str, Any], name: str) -> dict[str, Any]:
    return {entry["key"]: entry[name] for entry in found["entries"]}


def test_d1_four_equal_sleeves_are_ten_percent_off(tmp_path: Path) -> None:
    """Betterment, support article 987453: targets of 25 % each, now 30/20/30/20."""
    holdings = {"US": ("30", "1"), "INTL": ("20", "1"), "EM": ("30", "1"), "BOND": ("20", "1")}
    found = answer(file_of(holdings, aims(US="25", INTL="25", EM="25", BOND="25")), tmp_path)
    assert column(found, "drift") == {"US": "5", "INTL": "-5", "EM": "5", "BOND": "-5"}
    assert (found["turnoverToTarget"], found["maxAbsDrift"], found["value"]) == ("10", "5", "100")


def test_d2_weights_and_what_is_missing_to_the_target(tmp_path: Path) -> None:
    """Lumibot, drift rebalancer: values 1500/1000/800, targets 50/30/20. Its drift has the opposite sign."""
    holdings = {"A": ("15", "100"), "B": ("10", "100"), "C": ("8", "100")}
    found = answer(file_of(holdings, aims(A="50", B="30", C="20")), tmp_path)
    assert found["value"] == "3300"
    assert column(found, "actual") == {"A": "45.454545", "B": "30.30303", "C": "24.242424"}
    assert column(found, "drift") == {"A": "-4.545455", "B": "0.30303", "C": "4.242424"}
    assert column(found, "toTarget") == {"A": "150", "B": "-10", "C": "-140"}


def test_d12_is_breached_at_sixty_forty_and_both_sides_have_the_same_way_to_go(tmp_path: Path) -> None:
    """Accordant rebalancing-engine: 120/80 shares at 150, 50/50, tolerance 5 points."""
    policy = {"defaultBand": {"absolute": "5"}}
    found = answer(file_of({"A": ("120", "150"), "B": ("80", "150")}, aims(A="50", B="50"), policy=policy), tmp_path)
    assert (found["value"], found["status"]) == ("30000", "BREACHED")
    assert column(found, "actual") == {"A": "60", "B": "40"}
    assert column(found, "toTarget") == {"A": "-3000", "B": "3000"}  # 20 shares at 150
    assert (column(found, "lower"), column(found, "upper")) == ({"A": "45", "B": "45"}, {"A": "55", "B": "55"})


def test_answer_is_strings_with_at_most_six_decimals_in_percents_and_eight_in_money(tmp_path: Path) -> None:
    found = answer(file_of({"A": ("1", "0.123456789"), "B": ("2", "3.3333333333")}, aims(A="33.333333", B="66.666667")),
                   tmp_path)  # fmt: skip
    assert set(found) == {"value", "status", "maxAbsDrift", "turnoverToTarget", "missing", "stale", "entries"}
    assert found["value"] == "6.79012346"
    for entry in found["entries"]:
        assert entry.pop("targeted") is True
        assert all(type(value) is str for value in entry.values())
        assert all(re.fullmatch(r"-?\d+(\.\d{0,5}[1-9])?", entry[name]) for name in PERCENTS)
        assert all(re.fullmatch(r"-?\d+(\.\d{0,7}[1-9])?", entry[name]) for name in ("value", "toTarget"))


def test_entries_are_in_the_files_order_then_untargeted_by_symbol(tmp_path: Path) -> None:
    holdings = dict.fromkeys("ZBQA", ("1", "1"))
    found = answer(file_of(holdings, aims(Q="50", CASH="10", B="40")), tmp_path)
    assert column(found, "targeted") == {"Q": True, "CASH": True, "B": True, "A": False, "Z": False}
    assert list(column(found, "targeted")) == ["Q", "CASH", "B", "A", "Z"]
    assert column(found, "relativeDrift")["A"] is None


def test_portfolio_without_targets_says_so(tmp_path: Path) -> None:
    found = answer(file_of({"A": ("2", "5")}, None), tmp_path)
    nothing: dict[str, Any] = {"maxAbsDrift": None, "turnoverToTarget": None, "missing": [], "stale": [], "entries": []}
    assert found == {"value": "10", "status": "NO_TARGETS", **nothing}
    assert drift(file_of({"A": ("2", "5")}, None), tmp_path).out == "NO_TARGETS: value 10\n"


def test_portfolio_that_holds_nothing_has_no_value(tmp_path: Path) -> None:
    found = answer(file_of({}, aims(A="100")), tmp_path)
    assert (found["status"], found["value"], found["entries"]) == ("NO_VALUE", "0", [])


def test_old_price_is_stale_and_still_measured(tmp_path: Path) -> None:
    document = file_of({"A": ("2", "5")}, aims(A="100"))
    document["assets"][0]["pricedAt"] = "2024-05-30T15:59:59Z"  # a second more than four days
    found = answer(document, tmp_path)
    assert (found["status"], found["stale"], found["missing"]) == ("DATA_STALE", ["A"], [])
    assert column(found, "actual") == {"A": "100"}
    document["assets"][0]["pricedAt"] = "2024-05-30T16:00:00Z"
    assert answer(document, tmp_path)["status"] == "WITHIN"


def test_missing_price_leaves_no_numbers(tmp_path: Path) -> None:
    document = file_of({"A": ("2", "5")}, aims(A="100"))
    del document["assets"][0]["price"]
    document["portfolio"]["accounts"][0]["lots"][0]["unitCost"] = "4"
    found = answer(document, tmp_path)
    assert (found["status"], found["value"], found["missing"], found["entries"]) == ("DATA_STALE", None, ["A"], [])
    assert drift(document, tmp_path).out == "DATA_STALE\nmissing prices: A\n"


def test_file_without_an_instant_is_of_now(tmp_path: Path) -> None:
    document = file_of({"A": ("2", "5")}, aims(A="100"))
    del document["asOf"]
    assert answer(document, tmp_path)["status"] == "WITHIN"
    document["assets"][0]["pricedAt"] = "2024-06-03T15:00:00Z"
    assert answer(document, tmp_path)["status"] == "DATA_STALE"


def test_table_shows_names_as_they_are(tmp_path: Path) -> None:
    key = "[b]:smile:[/x]"
    targets: list[dict[str, Any]] = [{"key": key, "assets": ["A"], "percent": "60"}, {"key": "B", "percent": "40"}]
    said = drift(file_of({"A": ("15", "100"), "B": ("10", "100"), "C": ("1", "12.345")}, targets), tmp_path)
    assert (said.code, said.err) == (0, "")
    lines = [line.split() for line in said.out.splitlines()]
    assert lines[2] == [key, "60", "59.71", "-0.29", "55–65", "WITHIN", "1,500", "7.41"]
    assert lines[4] == ["C", "(no", "target)", "0", "0.49", "+0.49", "0–1", "WITHIN", "12.34", "-12.34"]
    assert said.out.splitlines()[-1] == "WITHIN: value 2512.345, largest drift 0.491374 points"


def test_example_of_the_documentation_is_measured(tmp_path: Path) -> None:
    found = answer(EXAMPLE, tmp_path)
    assert (found["value"], found["status"]) == ("61169.498", "BREACHED")
    assert column(found, "actual") == {"Stocks": "66.219275", "BND": "24.752533", "CASH": "3.388127", "BTC": "5.640066"}
    assert column(found, "upper") == {"Stocks": "70", "BND": "33", "CASH": "6", "BTC": "1"}
    documented = set(re.findall(r"`(\w+)`", DOCS.read_text().split("answer of `drift --json`")[1]))
    assert documented >= found.keys()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "the file is not JSON: Expecting value, line 1 column 1"),
        ("{", "the file is not JSON: Expecting property name enclosed in double quotes, line 1 column 2"),
        ("[]", "expected an object, found list"),
        ('{"steelyard": 1, "steelyard": 1}', "the file gives 'steelyard' twice in one object"),
        ('{"steelyard": NaN}', "the file holds NaN, which is not JSON"),
        ('{"steelyard": -Infinity}', "the file holds -Infinity, which is not JSON"),
        ('{"steelyard": 1.0, "portfolio": {}}', "steelyard: this is file version '1.0'; only version 1 is known"),
        ('{"steelyard": ' + "9" * 5000 + "}", "the file holds a number with too many digits"),
        ("[" * 100_000, "the file nests deeper than 32 levels"),
        ('{"steelyard": ' + "[" * 900 + "]" * 900 + "}", "the file nests deeper than 32 levels"),
        ('{"steelyard": 1, "portfolio": {"name": "\\ud800"}}', "the file holds half of a surrogate pair"),
        ('{"steelyard": 1, "portfolio": {}, "a\\nb": 1}', "there is no field 'a\\nb' here"),
    ],
)  # fmt: skip
def test_text_that_is_no_portfolio_file_is_one_sentence(tmp_path: Path, text: str, message: str) -> None:
    assert drift(text, tmp_path).error() == message


def test_file_that_cannot_be_read_is_one_sentence(tmp_path: Path) -> None:
    assert (
        steelyard("drift", tmp_path / "none.json")
        .error()
        .endswith("none.json cannot be read: No such file or directory")
    )
    assert steelyard("drift", tmp_path).error().endswith("cannot be read: Is a directory")
    assert steelyard("drift", tmp_path / ("x" * 300)).error().endswith("cannot be read: File name too long")
    (tmp_path / "picture").write_bytes(b"\x89PNG\r\n\x1a\n\0\0")
    assert steelyard("drift", tmp_path / "picture").error().endswith("picture is not UTF-8 text: byte 0 is wrong")
    assert steelyard("drift", "/dev/zero").error() == "/dev/zero is larger than 50000000 bytes"


def test_byte_order_mark_does_no_harm(tmp_path: Path) -> None:
    assert answer("\ufeff" + json.dumps(EXAMPLE), tmp_path)["value"] == "61169.498"


# Whatever a document is turned into, the answer is JSON or one sentence.
Steps = tuple[str | int, ...]


def places_of(value: object, path: Steps = ()) -> list[Steps]:
    items: list[tuple[str | int, object]] = []
    if isinstance(value, dict):
        items = list(value.items())
    elif isinstance(value, list):
        items = list(enumerate(value))
    return [path, *(place for key, item in items for place in places_of(item, (*path, key)))]


PLACES = places_of(EXAMPLE)[1:]
strange = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.integers(min_value=10**30, max_value=10**4000),
    st.floats(),
    st.text(st.characters(), max_size=12),
    st.sampled_from(
        ["0", "-1", "1e5", "NaN", "1" * 41, "0." + "1" * 19, "9" * 30, "2024-02-30", "P1Y", "CASH", " A", "١"]
    ),
    st.sampled_from([[], {}, [[]], {"": 0}, [{"symbol": "A"}], "A" * 70_000, ["x"] * 600]),
    st.recursive(st.none(), lambda inner: st.lists(inner) | st.dictionaries(st.text(max_size=3), inner), max_leaves=8),
)


def change(place: Any, last: str | int, draw: st.DrawFn) -> None:
    match draw(st.sampled_from(["replace", "replace", "remove", "add", "swap"])):
        case "replace":
            place[last] = draw(strange)
        case "remove":
            del place[last]
        case "swap":
            place[last] = EXAMPLE[draw(st.sampled_from(sorted(EXAMPLE)))]
        case _ if isinstance(place, list):
            place.append(place[-1])
        case _:
            place[draw(st.text(max_size=5))] = place[last]


@st.composite
def documents(draw: st.DrawFn) -> str:
    """Draw the example with a few fields replaced, removed, doubled or renamed, and now and then cut off."""
    copy = json.loads(json.dumps(EXAMPLE))
    for _ in range(draw(st.integers(1, 4))):
        *path, last = draw(st.sampled_from(PLACES))
        place: Any = copy
        try:
            for step in path:
                place = place[step]
            change(place, last, draw)
        except (KeyError, IndexError, TypeError):
            continue
    text = json.dumps(copy)
    return text[: draw(st.integers(0, len(text)))] if draw(st.integers(0, 9)) == 0 else text


@settings(PROPERTY, max_examples=150, phases=[Phase.explicit, Phase.generate])
@given(documents())
def test_any_document_is_an_answer_or_one_sentence(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    said = drift(text, tmp_path_factory.getbasetemp(), "--json")
    if said.code:
        assert said.error()
    else:
        for entry in said.json()["entries"]:
            assert Decimal(entry["lower"]) <= Decimal(entry["target"]) <= Decimal(entry["upper"])


@settings(PROPERTY, max_examples=100, phases=[Phase.explicit, Phase.generate])
@given(st.binary(max_size=200) | st.text(max_size=100).map(str.encode))
def test_any_bytes_are_one_sentence(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    file = tmp_path_factory.getbasetemp() / "bytes.json"
    file.write_bytes(content)
    assert steelyard("drift", file).error()
