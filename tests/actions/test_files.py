from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.actions import files
from app.core.errors import InvalidInput, SteelyardError
from tests.core.samples import PROPERTY

COLUMNS = ("symbol", "price")
NOW = datetime(2024, 6, 3, 16, tzinfo=UTC)


def rows_of(text: str) -> list[tuple[int, tuple[str, str]]]:
    return files.read_csv(text, COLUMNS, lambda row: (row["symbol"], row["price"]))


def test_csv_is_read_with_the_line_of_each_row() -> None:
    assert rows_of("symbol,price\nA,1\nB,2\n") == [(2, ("A", "1")), (3, ("B", "2"))]


@pytest.mark.parametrize(
    "text",
    [
        "symbol,price\r\nA,1\r\n",
        "price,symbol\n1,A",
        ' symbol , price\n A , 1 \n',
        '"symbol","price"\n"A","1"\n',
        "symbol,price\n\n\nA,1\n\n",
    ],
)  # fmt: skip
def test_csv_may_have_other_line_ends_orders_spaces_quotes_and_blank_lines(text: str) -> None:
    assert [row for _, row in rows_of(text)] == [("A", "1")]


def test_quoted_cell_may_hold_commas_quotes_and_lines() -> None:
    assert rows_of('symbol,price\n"A, ""B""\nC",1\nD,2') == [(3, ('A, "B"\nC', "1")), (4, ("D", "2"))]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "the header must be symbol,price; it is ''"),
        ("symbol\nA", "the header must be symbol,price; it is 'symbol'"),
        ("symbol,price,price\nA,1,2", "the header must be symbol,price; it is 'symbol,price,price'"),
        ("Symbol,Price\nA,1", "the header must be symbol,price; it is 'Symbol,Price'"),
        ("symbol;price\nA;1", "the header must be symbol,price; it is 'symbol;price'"),
        ("symbol,price\nA", "line 2: there are 1 columns instead of 2"),
        ("symbol,price\nA,1\nB,1,2", "line 3: there are 3 columns instead of 2"),
        ("symbol,price\n   \n", "line 2: there are 1 columns instead of 2"),
        ('symbol,price\n"A,1', "line 2: unexpected end of data"),
        ('symbol,price\n"A"x,1', "line 2: ',' expected after '\"'"),
        ('"symbol"x,price\nA,1', "line 1: ',' expected after '\"'"),
        ("symbol,price\n" + "A" * 200_000 + ",1", "line 2: field larger than field limit (131072)"),
    ],
)
def test_csv_that_is_not_as_it_should_be_is_refused_with_its_line(text: str, message: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        rows_of(text)
    assert caught.value.message == message


def test_error_in_a_row_says_the_line() -> None:
    def refuse(row: dict[str, str]) -> None:
        raise InvalidInput(f"{row['price']} is wrong", ["price"])

    with pytest.raises(InvalidInput, match=r"^line 2: 7 is wrong$"):
        files.read_csv("symbol,price\nA,7", COLUMNS, refuse)


@PROPERTY
@given(st.text(alphabet='symbolprice,"\n\r \0é1', max_size=60))
def test_any_text_is_rows_or_a_sentence(text: str) -> None:
    for content in (text, "symbol,price\n" + text):
        with suppress(SteelyardError):
            assert all(len(row) == 2 for _, row in rows_of(content))


def test_file_is_read_up_to_a_bound_whatever_it_says_its_size_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "MAX_FILE_BYTES", 3)
    (tmp_path / "three").write_bytes(b"abc")
    (tmp_path / "four").write_bytes(b"abcd")
    assert files.read_text(tmp_path / "three") == "abc"
    for path in (tmp_path / "four", Path("/dev/zero")):
        with pytest.raises(InvalidInput, match=r"is larger than 3 bytes$"):
            files.read_text(path)


def test_byte_order_mark_is_no_part_of_the_text(tmp_path: Path) -> None:
    (tmp_path / "marked").write_bytes(b"\xef\xbb\xbf{}")
    assert files.read_text(tmp_path / "marked") == "{}"


def test_price_of_a_file_is_no_float() -> None:
    with pytest.raises(InvalidInput, match="price must be a decimal string or an integer, not float"):
        files.parse('{"steelyard": 1, "portfolio": {}, "assets": [{"symbol": "A", "price": 0.1}]}', NOW)
