"""Public ids and digests."""

from dataclasses import replace
from datetime import UTC, timedelta, timezone
from decimal import Decimal
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.core import ids
from app.core.digest import canonical, digest
from tests.builders import AS_OF, snapshot
from tests.core.samples import PROPERTY


@PROPERTY
@given(st.uuids())
def test_an_id_is_read_back(uuid: UUID) -> None:
    text = ids.encode(ids.PORTFOLIO, uuid)
    assert len(text) == 29
    assert ids.decode(ids.PORTFOLIO, text) == uuid
    assert ids.decode(ids.ACCOUNT, text) is None


@PROPERTY
@given(st.uuids(), st.uuids())
def test_ids_sort_as_their_uuids(first: UUID, second: UUID) -> None:
    assert (ids.encode("pf", first) < ids.encode("pf", second)) == (first < second)


def test_ids_known_by_heart() -> None:
    assert ids.encode("pf", UUID(int=0)) == "pf_" + "0" * 26
    assert ids.encode("pf", UUID(int=2**128 - 1)) == "pf_7" + "z" * 25
    assert ids.encode("pf", UUID(int=33)) == "pf_" + "0" * 24 + "11"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "pf",
        "pf_",
        "pf_8" + "0" * 25,  # more than 128 bits
        "pf_" + "0" * 25,
        "pf_" + "0" * 27,
        "pf_" + "0" * 25 + "u",  # u, i, l and o are no letters of it
        "pf_" + "0" * 25 + "I",
        "pf_" + "0" * 25 + "A",  # one id has one spelling
        "PF_" + "0" * 26,
        "pf_" + "0" * 26 + "\n",
        "pf_" + "٠" * 26,
        "ac_" + "0" * 26,
    ],
)
def test_what_is_no_id_of_the_type_is_nobody(text: str) -> None:
    assert ids.decode("pf", text) is None


def test_a_holding_is_named_by_account_and_asset() -> None:
    account, asset = ids.encode("ac", UUID(int=1)), ids.encode("as", UUID(int=2))
    assert ids.holding_id(account, asset) == "hd_" + "0" * 25 + "1" + "0" * 25 + "2"


def test_equal_values_have_equal_digests() -> None:
    start = snapshot("10 A @ 100, 5 B @ 7, 100 cash", {"A": "60", "B": "40"})
    reordered = replace(start.market, assets=dict(reversed(list(start.market.assets.items()))))
    elsewhere = replace(start, market=reordered, as_of=AS_OF.astimezone(timezone(timedelta(hours=-5))))
    assert elsewhere == start
    assert digest(elsewhere) == digest(start)
    assert digest(Decimal("1.50")) == digest(Decimal("1.5"))
    assert digest(AS_OF.astimezone(UTC)) == digest(AS_OF)


def test_different_values_have_different_digests() -> None:
    start = snapshot("10 A @ 100, 100 cash", {"A": "100"})
    later = replace(start, as_of=AS_OF + timedelta(microseconds=1))
    dearer = snapshot("10 A @ 100.000000000000000001, 100 cash", {"A": "100"})
    richer = snapshot("10 A @ 100, 100.0000000001 cash", {"A": "100"})
    assert len({digest(value) for value in (start, later, dearer, richer)}) == 4


@pytest.mark.parametrize(
    ("left", "right"),
    [(("a", "b"), ("a,b",)), ("None", None), ("1", 1), ({"a": "b"}, "{1:a=1:b}"), (("1:a",), ("a",)), ((), "")],
)
def test_texts_cannot_imitate_structure(left: object, right: object) -> None:
    assert canonical(left) != canonical(right)
