"""The past as clients tell it: facts are kept once, move nothing that is held, and reach the next plan."""

from typing import Any, Final

import pytest

from app.core import ids
from tests.api.conftest import Api, Caller, portfolio_of

BUY: Final = {"date": "2024-01-05", "side": "BUY", "symbol": "AAA", "quantity": "2", "price": "100", "fees": "1.5"}
SELL: Final = {"date": "2024-02-05", "side": "SELL", "symbol": "AAA", "quantity": "1", "price": "90"}
HELD: Final = (
    "query ($id: ID!) { portfolio(id: $id) { version accounts { historyFrom cash { amount } } value { amount } } }"
)


@pytest.fixture
def core(owner: Caller) -> dict[str, Any]:
    return portfolio_of(owner)


def account_of(portfolio: dict[str, Any]) -> str:
    return str(portfolio["accounts"][0]["id"])


def tell(owner: Caller, portfolio: dict[str, Any], *facts: dict[str, Any], key: str = "k", **given: Any) -> Any:
    given = {"accountId": account_of(portfolio), "transactions": list(facts), "idempotencyKey": key, **given}
    return owner.mutate("transactionsImport", "recorded account { id historyFrom }", **given)


def rows(api: Api, portfolio: dict[str, Any]) -> list[str]:
    """Return the facts of an account as `side units amount`."""
    told: str | None = api.sql(
        "SELECT string_agg(side || ' ' || trim_scale(quantity) || ' ' || trim_scale(t.amount), ', ' ORDER BY t.id) "
        "FROM transactions t JOIN accounts a ON a.id = t.account_id WHERE side <> 'ADJUST' AND a.public_id = $1",
        ids.decode(ids.ACCOUNT, account_of(portfolio)),
    )
    return told.split(", ") if told else []


def test_facts_are_recorded_once_and_move_nothing(api: Api, owner: Caller, core: dict[str, Any]) -> None:
    before = owner.data(HELD, id=core["id"])
    for _ in range(2):
        answer = tell(owner, core, BUY, SELL)
        assert answer == {"recorded": 2, "account": {"id": account_of(core), "historyFrom": None}, "userErrors": []}
    assert rows(api, core) == ["BUY 2 201.5", "SELL 1 90"]
    assert owner.data(HELD, id=core["id"]) == before


def test_key_of_other_facts_is_refused(owner: Caller, core: dict[str, Any]) -> None:
    tell(owner, core, BUY)
    assert tell(owner, core, SELL)["userErrors"][0]["code"] == "IDEMPOTENCY_MISMATCH"


def test_account_says_from_when_on_its_past_is_known(owner: Caller, core: dict[str, Any]) -> None:
    assert tell(owner, core, historyFrom="2024-01-01")["account"]["historyFrom"] == "2024-01-01"
    assert tell(owner, core, BUY, key="more")["account"]["historyFrom"] == "2024-01-01"
    shown = owner.data(HELD, id=core["id"])["portfolio"]["accounts"]
    assert [account["historyFrom"] for account in shown] == ["2024-01-01"]
    owner.mutate("holdingsImport", accountId=account_of(core), lots=[])
    assert owner.data(HELD, id=core["id"])["portfolio"]["accounts"][0]["historyFrom"] == "2024-01-01"


def test_portfolio_is_created_with_accounts_whose_past_is_known(owner: Caller) -> None:
    made = portfolio_of(owner, accounts=[{"name": "Main", "historyFrom": "2020-02-29"}])
    assert owner.data(HELD, id=made["id"])["portfolio"]["accounts"][0]["historyFrom"] == "2020-02-29"


def test_plan_that_did_not_know_is_superseded(owner: Caller, core: dict[str, Any]) -> None:
    owner.mutate("targetsSet", portfolioId=core["id"], entries=[{"key": "AAA", "percent": "100"}])
    query = "query ($id: ID!) { portfolio(id: $id) { plans { nodes { status } } } }"

    def statuses() -> list[str]:
        return [plan["status"] for plan in owner.data(query, id=core["id"])["portfolio"]["plans"]["nodes"]]

    owner.mutate("rebalancePropose", portfolioId=core["id"], scope="FULL")
    assert statuses() == ["READY"]
    tell(owner, core, BUY)
    assert statuses() == ["SUPERSEDED"]
    owner.mutate("rebalancePropose", portfolioId=core["id"], scope="FULL")
    tell(owner, core, BUY)  # a repeat tells nothing new
    assert statuses() == ["READY", "SUPERSEDED"]


WRONG: Final[list[tuple[dict[str, Any], str, str, str]]] = [
    ({"transactions": [BUY, SELL | {"quantity": "0"}]}, "transactions 1 quantity", "quantity is 0; it must be more",
     "INVALID"),
    ({"transactions": [BUY | {"price": "-1"}]}, "transactions 0 price", "price -1 is below 0", "INVALID"),
    ({"transactions": [BUY | {"fees": "-1"}]}, "transactions 0 fees", "fees -1 is below 0", "INVALID"),
    ({"transactions": [BUY | {"symbol": "ZZZ"}]}, "transactions 0 symbol",
     "no asset has the symbol ZZZ; an operator can add it", "INVALID"),
    ({"transactions": [BUY | {"date": "9999-12-31"}]}, "transactions 0 date", "date 9999-12-31 is after today, ",
     "INVALID"),
    ({"transactions": [BUY | {"date": "0024-01-05"}]}, "transactions 0 date",
     "date 0024-01-05 is before 1900-01-01; is it misspelt?", "INVALID"),
    ({"transactions": [BUY | {"quantity": "9" * 15, "price": "9" * 12, "fees": "9" * 27}]}, "transactions 0 fees",
     "it would come to ", "INVALID"),
    ({"transactions": [BUY], "historyFrom": "9999-12-31"}, "historyFrom", "historyFrom 9999-12-31 is after today, ",
     "INVALID"),
    ({"transactions": [BUY] * 5001}, "transactions", "there are 5001 items; at most 5000 are allowed",
     "LIMIT_EXCEEDED"),
    ({"transactions": []}, "transactions", "there is nothing to record; give transactions, or historyFrom", "REQUIRED"),
    ({"transactions": [BUY], "idempotencyKey": ""}, "idempotencyKey", "idempotencyKey must be 1 to 200 characters",
     "INVALID"),
    ({"transactions": [BUY], "accountId": "x"}, "accountId", "account x does not exist", "NOT_FOUND"),
]  # fmt: skip


@pytest.mark.parametrize(("given", "path", "message", "code"), WRONG, ids=lambda value: str(value)[:30])
def test_one_wrong_fact_records_none(
    api: Api, owner: Caller, core: dict[str, Any], given: dict[str, Any], path: str, message: str, code: str
) -> None:
    before = api.stored()
    answer = tell(owner, core, **given)
    [error] = answer["userErrors"]
    assert (error["path"], error["code"]) == (["input", *path.split()], code)
    assert error["message"].startswith(message)
    assert (answer["recorded"], answer["account"]) == (None, None)
    assert api.stored() == before


def test_archived_portfolio_is_told_nothing(owner: Caller, core: dict[str, Any]) -> None:
    owner.mutate("portfolioUpdate", portfolioId=core["id"], status="ARCHIVED")
    assert tell(owner, core, BUY)["userErrors"][0]["code"] == "INVALID_STATE"


def test_the_longest_name_of_an_asset_is_looked_up(owner: Caller, core: dict[str, Any]) -> None:
    name = f"{'S' * 32}:{'C' * 10}:{'V' * 32}"
    (error,) = tell(owner, core, BUY | {"symbol": name})["userErrors"]
    assert error["message"] == f"no asset has the symbol {name}; an operator can add it"
