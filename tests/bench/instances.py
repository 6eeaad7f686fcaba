"""Problems in files: two formats of one model, read into `Problem`, and orders written back in the file's own form.

Format 1 has assets, format 2 accounts and sleeves with members. Money in the account's currency, quantities in units; a
price that is null freezes the asset at its last value. `--instances` names the file: nothing is read by itself.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import Any, Final

from app.core.optimize.problem import Entry, Lot, Order, Problem, Purse, Sleeve, Tariff

Json = dict[str, Any]
Orders = tuple[tuple[Order, ...], ...]

ACCOUNT: Final[Json] = {"id": "", "cash": 0.0, "cash_flow": 0.0, "min_cash": 0.0, "taxable": True}
MEMBER: Final[Json] = {
    "account": "",
    "price": None,
    "last_value": 0.0,
    "can_buy": True,
    "can_sell": True,
    "qty_step": 0.0,
    "min_order": 0.0,
    "fee_fixed": 0.0,
    "cost_prop": 0.0,
    "loss_disallowed": False,
    "recent_loss": None,
    "exit_price": 0.0,
    "sell_only": "ANY",
    "lots": [],
}


@dataclass(frozen=True)
class Instance:
    """One problem of a file: as it stands there, as a `Problem`, and what the file knows of its answer."""

    id: str
    body: Json
    problem: Problem
    best_known: float | None = None
    bound: float | None = None
    raisable: float | None = None

    @property
    def sleeved(self) -> bool:
        return "sleeves" in self.body


def read(path: Path) -> list[Instance]:
    """Read a file: a bare list or an object with `records`; a record is an instance or holds one as `instance`."""
    content = json.loads(path.read_text())
    records = content if isinstance(content, list) else content.get("records", [content])
    return [instance_of(record) for record in records]


def instance_of(record: Json) -> Instance:
    body = record.get("instance", record)
    known = [record.get(name) for name in ("best_known", "bound", "max_raisable_cash")]
    best, bound, raisable = (float(one) if isinstance(one, int | float) and isfinite(one) else None for one in known)
    return Instance(str(body["id"]), body, problem_of(body), best, bound, raisable)


def problem_of(body: Json) -> Problem:
    """Return the problem of an instance of either format; what is absent is what MEMBER and ACCOUNT say."""
    sleeved = _as_sleeves(body)
    accounts = {account["id"]: number for number, account in enumerate(sleeved["accounts"])}
    purses = tuple(
        Purse(account["cash"] + account["cash_flow"], account["min_cash"], account["taxable"])
        for account in sleeved["accounts"]
    )
    value = sum(purse.cash for purse in purses) + sum(_value(member) for member in _members(sleeved))
    params, names = sleeved["params"], _Names()
    sleeves = tuple(
        Sleeve(
            sleeve["target_weight"] * value,
            sleeve.get("tol", 0.0) * value,
            params["lam_out"],
            params["lam_in"],
            tuple(_entry(member, accounts, purses, params, names) for member in sleeve["members"]),
        )
        for sleeve in sleeved["sleeves"]
    )
    return Problem(
        value=value,
        purses=purses,
        sleeves=sleeves,
        cash_goal=sleeved.get("cash_target_weight", 0.0) * value,
        cash_price=params["lam_cash"],
        trade_price=params.get("eps_trade", 0.0),
        rank_price=params.get("eps_rank", 0.0),
    )


def trades_of(instance: Instance, orders: Orders) -> list[Any]:
    """Write orders as the file does: {buy, sell: {lot index: units}} by sleeve and member, or by asset."""
    written = [[_trade(order) for order in sleeve] for sleeve in orders]
    return written if instance.sleeved else [sleeve[0] for sleeve in written]


def orders_of(instance: Instance, trades: list[Any]) -> Orders:
    """Read trades in the file's form: the inverse of `trades_of`."""
    by_sleeve = trades if instance.sleeved else [[trade] for trade in trades]
    return tuple(
        tuple(_order(trade, entry) for trade, entry in zip(row, sleeve.entries, strict=True))
        for row, sleeve in zip(by_sleeve, instance.problem.sleeves, strict=True)
    )


class _Names:
    """Numbers for names, in the order they are first seen."""

    def __init__(self) -> None:
        self._seen: dict[tuple[str, str], int] = {}

    def number(self, kind: str, name: str) -> int:
        return self._seen.setdefault((kind, name), len(self._seen))


def _as_sleeves(body: Json) -> Json:
    """Return an instance with accounts and sleeves, a format-1 one with a sleeve for each asset."""
    if "sleeves" in body:
        accounts, sleeves = body["accounts"], body["sleeves"]
    else:
        accounts = [{name: body[name] for name in ("cash", "cash_flow", "min_cash") if name in body}]
        sleeves = [asset | {"members": [asset | {"asset": asset["id"]}]} for asset in body["assets"]]
    return body | {
        "accounts": [ACCOUNT | account for account in accounts],
        "sleeves": [sleeve | {"members": [_whole(member) for member in sleeve["members"]]} for sleeve in sleeves],
    }


def _whole(member: Json) -> Json:
    """Return a member with nothing absent: its own wash group, and null as the default it stands for."""
    given = {name: value for name, value in member.items() if value is not None}
    asset = given.get("asset", given["id"])
    return {**MEMBER, "asset": asset, "wash_group": asset, **given}


def _members(body: Json) -> Iterator[Json]:
    return (member for sleeve in body["sleeves"] for member in sleeve["members"])


def _value(member: Json) -> float:
    if member["price"] is None:
        return float(member["last_value"])
    return float(member["price"] * sum(lot["qty"] for lot in member["lots"]))


def _entry(member: Json, accounts: dict[str, int], purses: tuple[Purse, ...], params: Json, names: _Names) -> Entry:
    asset, group = names.number("asset", member["asset"]), names.number("group", member["wash_group"])
    account = accounts[member["account"]]
    if member["price"] is None:
        return Entry(
            asset,
            account,
            0.0,
            _value(member),
            can_buy=False,
            can_sell=False,
            group=group,
            exit_price=member["exit_price"],
        )
    taxable, recent = purses[account].taxable, member["recent_loss"]
    return Entry(
        asset=asset,
        account=account,
        price=member["price"],
        value=_value(member),
        lots=tuple(_lot(lot, member, params, taxable) for lot in member["lots"]),
        can_buy=member["can_buy"],
        can_sell=member["can_sell"],
        step=member["qty_step"],
        minimum=member["min_order"],
        tariffs=(Tariff(member["fee_fixed"], member["cost_prop"]),),
        group=group,
        wash_price=recent["rate"] * recent["loss_per_unit"] / member["price"] if recent else 0.0,
        wash_value=recent["qty"] * member["price"] if recent else 0.0,
        exit_price=member["exit_price"],
    )


def _lot(lot: Json, member: Json, params: Json, taxable: bool) -> Lot:
    gain = 1.0 - lot["basis"] / member["price"]
    rate = params["rate_lt"] if lot["days"] > params["lt_days"] else params["rate_st"]
    loss = lot["basis"] > member["price"]
    tax = rate * gain
    if loss:
        tax = 0.0 if member["loss_disallowed"] else params["beta"] * tax
    sellable = loss or member["sell_only"] == "ANY"
    return Lot(lot["qty"], tax if taxable else 0.0, loss, max(0.0, rate * gain) if taxable else 0.0, sellable)


def _trade(order: Order) -> Json:
    return {"buy": order.buy, "sell": {str(number): units for number, units in enumerate(order.sell) if units > 0}}


def _order(trade: Json, entry: Entry) -> Order:
    sold = [0.0] * len(entry.lots)
    for number, units in trade["sell"].items():
        sold[int(number)] = units
    return Order(trade["buy"], tuple(sold) if any(sold) else ())
