"""`steelyard ledger FILE.csv`: its answer to the letter, and one sentence that names the line for whatever is wrong."""

import csv
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from tests.cli.shell import Said, steelyard
from tests.core.samples import PROPERTY

DOCS = (Path(__file__).parents[2] / "docs" / "tax.md").read_text()
HEADER = "date,account,account_kind,side,symbol,quantity,price,fees"
FULL = f"{HEADER},lot,identical_group"


def ledger(text: str, folder: Path, *options: str) -> Said:
    file = folder / "ledger.csv"
    file.write_bytes(text.encode())
    return steelyard("ledger", file, *options)


def answer(rows: str, folder: Path, *options: str, header: str = HEADER) -> dict[str, list[dict[str, str]]]:
    found: dict[str, list[dict[str, str]]] = ledger(f"{header}\n{rows}\n", folder, "--json", *options).json()
    return found


T2 = """2009-09-24,Broker,TAXABLE,BUY,M,100,50,0
2009-12-18,Broker,TAXABLE,BUY,M,50,55,0
2009-12-28,Broker,TAXABLE,BUY,M,25,45,0
2010-01-07,Broker,TAXABLE,SELL,M,100,40,0"""


def test_t2_is_answered_to_the_letter(tmp_path: Path) -> None:
    """Publication 550 (advisors4advisors 13798): 750 of 1,000 disallowed, basis 3,250 and 1,375."""
    assert answer(T2, tmp_path) == {
        "sales": [
            {
                "date": "2010-01-07",
                "account": "Broker",
                "symbol": "M",
                "quantity": "100",
                "proceeds": "4000",
                "basis": "5000",
                "gain": "-1000",
                "term": "SHORT",
                "disallowed": "750",
                "permanentlyDisallowed": "0",
                "state": "CONFIRMED",
            }
        ],
        "lots": [
            {
                "account": "Broker",
                "symbol": "M",
                "quantity": quantity,
                "unitCost": cost,
                "acquiredOn": acquired,
                "holdingFrom": held_from,
            }
            for quantity, cost, acquired, held_from in (
                ("50", "65", "2009-12-18", "2009-09-04"),
                ("25", "55", "2009-12-28", "2009-09-14"),
            )
        ],
    }


def test_rows_and_columns_may_stand_in_any_order_with_blank_lines_and_a_byte_order_mark(
    tmp_path: Path,
) -> None:
    lines = [*T2.splitlines()[::-1][:1], "", *T2.splitlines()[2::-1], ""]
    assert answer("\n".join(lines), tmp_path) == answer(T2, tmp_path)
    names = HEADER.split(",")
    turned = "\r\n".join(",".join(line.split(",")[::-1]) for line in T2.splitlines())
    assert answer(turned, tmp_path, header="\ufeff" + ",".join(names[::-1])) == answer(T2, tmp_path)


def test_divisions_that_do_not_end_have_twenty_decimals_and_others_all(tmp_path: Path) -> None:
    rows = """2024-01-02,A,TAXABLE,BUY,X,3,10,1
2024-01-03,A,TAXABLE,BUY,Y,0.000000000000000003,0.000000000000000007,
2024-02-03,A,TAXABLE,SELL,X,1.5,10,0.01"""
    found = answer(rows, tmp_path)
    assert found["sales"][0]["proceeds"] == "14.99"
    assert found["sales"][0]["basis"] == "15.5"
    assert [lot["unitCost"] for lot in found["lots"]] == ["10.33333333333333333333", "0.000000000000000007"]


def test_lot_and_identical_group_are_read(tmp_path: Path) -> None:
    rows = """2023-01-02,A,TAXABLE,BUY,VOO,10,100,0,,SP500
2024-01-02,A,TAXABLE,BUY,VOO,10,120,0,second,SP500
2024-06-03,A,TAXABLE,SELL,VOO,10,110,0,second,SP500
2024-06-04,Pension,TAX_EXEMPT,BUY,IVV,4,110,0,,SP500"""
    (sale,) = answer(rows, tmp_path, header=FULL)["sales"]
    assert (sale["basis"], sale["gain"], sale["disallowed"]) == ("1200", "-100", "40")
    assert (sale["permanentlyDisallowed"], sale["state"]) == ("40", "PROBABLE")
    (alone,) = answer(rows.replace("SP500", ""), tmp_path, header=FULL)["sales"]
    assert (alone["disallowed"], alone["state"]) == ("0", "CONFIRMED")


@pytest.mark.parametrize(
    ("options", "basis"),
    [
        ((), "300"),
        (("--method", "FIFO"), "300"),
        (("--method", "LIFO"), "200"),
        (("--method", "HIFO"), "350"),
        (("--method", "SPEC_ID"), "300"),
        (("--method", "MIN_TAX", "--short-rate", "40", "--long-rate", "10"), "300"),
        (("--method", "MIN_TAX", "--short-rate", "20", "--long-rate", "20"), "350"),
    ],
)
def test_method_chooses_the_lots(tmp_path: Path, options: tuple[str, ...], basis: str) -> None:
    rows = """2022-01-03,A,TAXABLE,BUY,X,10,30,0
2024-01-02,A,TAXABLE,BUY,X,10,35,0
2024-01-03,A,TAXABLE,BUY,X,10,20,0
2024-06-03,A,TAXABLE,SELL,X,10,40,0"""
    assert [sale["basis"] for sale in answer(rows, tmp_path, *options)["sales"]] == [basis]


def test_file_without_rows_has_no_sales(tmp_path: Path) -> None:
    assert answer("", tmp_path) == {"sales": [], "lots": []}


GOOD = "2024-01-02,A,TAXABLE,BUY,X,10,30,0"


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ("2024-01-02,A,TAXABLE,BUY,X,ten,30,0", "quantity must be a plain decimal number such as 1250.5, not 'ten'"),
        ("2024-01-02,A,TAXABLE,BUY,X,0,30,0", "quantity is 0; it must be more"),
        ("2024-01-02,A,TAXABLE,BUY,X,-1,30,0", "quantity -1 is below 0"),
        ("2024-01-02,A,TAXABLE,BUY,X,1e3,30,0", "quantity must be a plain decimal number such as 1250.5, not '1e3'"),
        ("2024-01-02,A,TAXABLE,BUY,X,NaN,30,0", "quantity must be a plain decimal number such as 1250.5, not 'NaN'"),
        ("2024-01-02,A,TAXABLE,BUY,X,,30,0", "quantity must be a plain decimal number such as 1250.5, not ''"),
        ("2024-01-02,A,TAXABLE,BUY,X,1,-30,0", "price -30 is below 0"),
        ("2024-01-02,A,TAXABLE,BUY,X,1,,0", "price must be a plain decimal number such as 1250.5, not ''"),
        ("2024-01-02,A,TAXABLE,BUY,X,1,30,-1", "fees -1 is below 0"),
        ("2024-01-02,A,401K,BUY,X,1,30,0", "account_kind must be one of TAXABLE, TAX_DEFERRED, TAX_EXEMPT, not '401K'"),
        ("2024-01-02,A,TAXABLE,HOLD,X,1,30,0", "side must be one of BUY, SELL, not 'HOLD'"),
        ("2024-02-30,A,TAXABLE,BUY,X,1,30,0", "date must be a date such as 2026-11-22, not '2024-02-30'"),
        ("01/02/2024,A,TAXABLE,BUY,X,1,30,0", "date must be a date such as 2026-11-22, not '01/02/2024'"),
        ("0024-01-02,A,TAXABLE,BUY,X,1,30,0", "date 0024-01-02 is not of the years 1900 to 2199"),
        ("2024-01-02,,TAXABLE,BUY,X,1,30,0",
         "account must be 1 to 200 characters without control characters or space around it"),
        ("2024-01-02,A,TAXABLE,BUY,,1,30,0", "symbol must be a ticker such as AAPL or BRK.B, not ''"),
        ("2024-01-02,A,TAXABLE,BUY,X,1,30", "there are 7 columns instead of 8"),
        ("2024-01-02,A,TAXABLE,BUY,X,1,1,000,0", "there are 9 columns instead of 8"),
        ("2024-01-03,A,TAXABLE,SELL,X,10.5,30,0",
         "10.5 X are sold in A, but only 10 are held; add the purchases that are missing"),
        ("2024-01-03,B,TAXABLE,SELL,X,1,30,0",
         "1 X are sold in B, but only 0 are held; add the purchases that are missing"),
        ("2024-01-01,A,TAXABLE,SELL,X,1,30,0",
         "1 X are sold in A, but only 0 are held; add the purchases that are missing"),
        ("2024-01-03,A,TAX_EXEMPT,BUY,X,1,30,0", "account A is TAX_EXEMPT here and TAXABLE before"),
    ],
)  # fmt: skip
def test_bad_row_is_one_sentence_that_names_its_line(tmp_path: Path, rows: str, message: str) -> None:
    assert ledger(f"{HEADER}\n{GOOD}\n{rows}\n", tmp_path, "--json").error() == f"line 3: {message}"


def test_lot_that_is_too_small_and_symbol_in_two_groups_name_their_line(tmp_path: Path) -> None:
    start = f"{FULL}\n{GOOD},a,\n\n"
    assert ledger(f"{start}2024-01-03,A,TAXABLE,SELL,X,1,30,0,b,\n", tmp_path).error() == (
        "line 4: 1 X are sold in A of lot b, but only 0 are held; add the purchases that are missing"
    )
    assert ledger(f"{start}2024-01-03,A,TAXABLE,BUY,X,1,30,0,,G\n", tmp_path).error() == (
        "line 4: X is in the group 'G' here and in 'X' before"
    )


@pytest.mark.parametrize(
    "header",
    [
        "",
        "date",
        HEADER + ",note",
        HEADER + ",fees",
        FULL + ",lot",
        HEADER.replace(",", ";"),
        HEADER.replace("fees", "fee"),
    ],
)
def test_header_that_is_none_is_shown_with_the_one_that_is_wanted(tmp_path: Path, header: str) -> None:
    assert ledger(f"{header}\n{GOOD}\n", tmp_path).error() == (
        f"the header must be {HEADER}, with lot and identical_group if you like; it is {header!r}"
    )


def test_method_and_rates_that_are_none_are_refused(tmp_path: Path) -> None:
    assert ledger(HEADER, tmp_path, "--method", "fifo").error() == (
        "method must be one of MIN_TAX, HIFO, FIFO, LIFO, SPEC_ID, not 'fifo'"
    )
    assert ledger(HEADER, tmp_path, "--long-rate", "101").error() == "long-rate 101 is above 100"
    assert steelyard("ledger", tmp_path / "none.csv").error().endswith("cannot be read: No such file or directory")


def test_table_shows_sales_lots_and_years(tmp_path: Path) -> None:
    said = ledger(f"{HEADER}\n{T2}\n2010-02-01,IRA,TAX_DEFERRED,BUY,M,5,41,0\n", tmp_path)
    assert (said.code, said.err) == (0, "")
    lines = [line.split() for line in said.out.splitlines()]
    assert lines[3] == ["2010-01-07", "Broker", "M", "100", "-1,000", "SHORT", "800", "CONFIRMED"]
    assert lines[7] == ["2009-12-18", "Broker", "M", "50", "65", "2009-09-04"]
    assert said.out.splitlines()[-2:] == [
        "2010: short-term -200, long-term 0; 800 of losses disallowed, 50 of it for good",
        "Estimates, not tax advice.",
    ]


def example() -> tuple[str, str]:
    """Return the file and the answer that the documentation shows."""
    shown = re.findall(r"((?:^    .*\n|\n)+)", DOCS.split("## An example")[1], re.MULTILINE)
    file, said = ("\n".join(line[4:] for line in block.strip("\n").splitlines()) for block in shown if block.strip())
    return file, said


def test_example_of_the_documentation_was_run(tmp_path: Path) -> None:
    file, said = example()
    command, _, table = said.partition("\n")
    assert command == "$ steelyard ledger trades.csv"
    assert [line.rstrip() for line in ledger(file, tmp_path).out.splitlines()] == table.splitlines()


cells: dict[str, Any] = {
    "date": st.sampled_from(["2024-01-02", "2024-01-03", "2024-01-20", "2024-13-01", "1900-01-01", "2199-12-31", ""]),
    "account": st.sampled_from(["A", "B", "", " A", "é"]),
    "account_kind": st.sampled_from(["TAXABLE"] * 5 + ["TAX_EXEMPT", "X"]),
    "side": st.sampled_from(["BUY", "BUY", "SELL", "buy"]),
    "symbol": st.sampled_from(["X", "X", "Y", "^"]),
    "quantity": st.sampled_from(["1", "3", "0.000000000000000001", "999999999999999", "0", "-1", "\u0661"]),
    "price": st.sampled_from(["1", "2.5", "0", "999999999999.000000000000000001", "x"]),
    "fees": st.sampled_from(["", "0", "1", "99999999999999999999999999", "9" * 30]),
}


@settings(PROPERTY, max_examples=150, phases=[Phase.explicit, Phase.generate])
@given(st.lists(st.fixed_dictionaries(cells), max_size=6))
def test_any_rows_are_an_answer_or_one_sentence(
    tmp_path_factory: pytest.TempPathFactory, rows: list[dict[str, str]]
) -> None:
    file = tmp_path_factory.getbasetemp() / "rows.csv"
    with file.open("w", newline="") as out:
        writer = csv.DictWriter(out, HEADER.split(","))
        writer.writeheader()
        writer.writerows(rows)
    said = steelyard("ledger", file, "--json")
    if said.code:
        assert re.match(r"line \d+: ", said.error())
    else:
        assert all(re.fullmatch(r"-?\d+(\.\d+)?", sale["gain"]) for sale in said.json()["sales"])
        assert steelyard("ledger", file).out.endswith("Estimates, not tax advice.\n")
