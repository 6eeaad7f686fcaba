"""A second judge, of an instance as it stands in its file and trades in the file's form: the file's own rule.

It shares nothing with `problem`, the reader or the first judge, so that a misreading of the file is found as well.
"""

from collections import Counter, defaultdict
from math import isclose
from typing import Any, Final

Json = dict[str, Any]
TOLERANCE = 1e-6


ABSENT: Final[Json] = {
    **dict.fromkeys(("cash", "cash_flow", "min_cash", "last_value", "qty_step", "min_order", "fee_fixed"), 0.0),
    **dict.fromkeys(("cost_prop", "exit_price", "tol", "cash_target_weight", "eps_trade", "eps_rank"), 0.0),
    "can_buy": True,
    "can_sell": True,
    "taxable": True,
    "loss_disallowed": False,
    "sell_only": "ANY",
    "recent_loss": None,
    "price": None,
    "account": "",
    "lots": [],
}


class Read(dict[str, Any]):
    """A part of an instance in which what is absent is what ABSENT says."""

    def __missing__(self, name: str) -> Any:
        return self["asset"] if name == "wash_group" else self["id"] if name == "asset" else ABSENT[name]


def judge(body: Json, trades: list[Any]) -> tuple[float, list[str]]:
    """Return J in money and what is wrong with `trades`; an empty list passes."""
    if "sleeves" in body:
        sleeves, accounts = body["sleeves"], body["accounts"]
    else:
        sleeves = [{**asset, "members": [asset]} for asset in body["assets"]]
        accounts, trades = [{**body, "id": ""}], [[one] for one in trades]
    sleeves = [Read(sleeve, members=[Read(one) for one in sleeve["members"]]) for sleeve in sleeves]
    whole = Read(body, params=Read(body["params"]), sleeves=sleeves, accounts=[Read(one) for one in accounts])
    return _Account(whole).judge(trades)


class _Account:
    """All accounts of one instance while its trades are read off one by one."""

    def __init__(self, body: Json) -> None:
        self.body, self.params = body, body["params"]
        self.cash = {one["id"]: one["cash"] + one["cash_flow"] for one in body["accounts"]}
        self.taxable = {one["id"]: one["taxable"] for one in body["accounts"]}
        self.total = sum(self.cash.values()) + sum(
            worth(member) for sleeve in body["sleeves"] for member in sleeve["members"]
        )
        self.noise = max(TOLERANCE, 1e-11 * self.total)
        self.wrong: list[str] = []
        self.cost = 0.0
        self.buys: list[Json] = []
        self.sales: list[Json] = []
        self.losses: list[Json] = []

    def judge(self, trades: list[Any]) -> tuple[float, list[str]]:
        for sleeve, row in zip(self.body["sleeves"], trades, strict=True):
            self.sleeve(sleeve, row)
        for account in self.body["accounts"]:
            left = self.cash[account["id"]]
            if left < account["min_cash"] - self.noise:
                self.wrong.append(f"account {account['id']}: cash {left} below {account['min_cash']}")
        self.across()
        off = abs(sum(self.cash.values()) - self.body["cash_target_weight"] * self.total)
        return self.cost + self.params["lam_cash"] * off, self.wrong

    def sleeve(self, sleeve: Json, row: list[Json]) -> None:
        places: Counter[Any] = Counter()
        bought: Counter[Any] = Counter()
        worth_after = 0.0
        for member, trade in zip(sleeve["members"], row, strict=True):
            rank = places[member["account"]]
            places[member["account"]] += 1
            buy, sold = self.amounts(member, trade)
            self.member(member, buy, sold, rank)
            bought[member["account"]] += buy > self.noise
            worth_after += worth(member) + buy - sum(sold.values())
        self.wrong += [
            f"{sleeve.get('id')}: {count} members bought in {place}" for place, count in bought.items() if count > 1
        ]
        off = abs(worth_after - sleeve["target_weight"] * self.total)
        beyond = max(0.0, off - sleeve["tol"] * self.total)
        self.cost += self.params["lam_in"] * (off - beyond) + self.params["lam_out"] * beyond

    def amounts(self, member: Json, trade: Json) -> tuple[float, dict[int, float]]:
        """Return money bought and money sold of each lot; what is impossible is noted and left out."""
        sold = {int(number): units for number, units in trade["sell"].items()}
        if member["price"] is None:
            if trade["buy"] or any(sold.values()):
                self.wrong.append(f"{member['id']}: traded without a price")
            return 0.0, {}
        for number, units in sold.items():
            if units < 0 or units * member["price"] > member["lots"][number]["qty"] * member["price"] + self.noise:
                self.wrong.append(f"{member['id']}: {units} sold of lot {number}")
        if trade["buy"] < 0:
            self.wrong.append(f"{member['id']}: {trade['buy']} bought")
        return trade["buy"] * member["price"], {number: units * member["price"] for number, units in sold.items()}

    def member(self, member: Json, buy: float, sold: dict[int, float], rank: int) -> None:
        sale = sum(sold.values())
        if buy > self.noise:
            self.buys.append(member)
            self.order(member, buy, member["min_order"], "can_buy")
        if sale > self.noise:
            self.sales.append(member)
            self.order(member, sale, min(member["min_order"], worth(member)), "can_sell")
        self.cash[member["account"]] += sale - buy
        self.cost += self.params["eps_trade"] * (buy + sale) + self.params["eps_rank"] * rank * buy
        self.cost += member["exit_price"] * (worth(member) - sale)
        for number, amount in sold.items():
            self.lot(member, member["lots"][number], amount)
        if member["recent_loss"] and member["price"] is not None:
            recent = member["recent_loss"]
            per_dollar = recent["rate"] * recent["loss_per_unit"] / member["price"]
            self.cost += per_dollar * min(buy, recent["qty"] * member["price"])

    def order(self, member: Json, amount: float, least: float, right: str) -> None:
        """Charge an order and check its size."""
        if not member[right]:
            self.wrong.append(f"{member['id']}: {right} is false")
        if amount < least - self.noise:
            self.wrong.append(f"{member['id']}: order of {amount} below {least}")
        if amount > self.total + self.noise:
            self.wrong.append(f"{member['id']}: order of {amount} above all there is")
        if member["qty_step"]:
            steps = amount / (member["price"] * member["qty_step"])
            if not isclose(steps, round(steps), rel_tol=1e-9, abs_tol=1e-6):
                self.wrong.append(f"{member['id']}: {steps} steps")
        fee = member["fee_fixed"] + member["cost_prop"] * amount
        self.cash[member["account"]] -= fee
        self.cost += fee

    def lot(self, member: Json, lot: Json, amount: float) -> None:
        lost = lot["basis"] > member["price"]
        if amount > self.noise and member["sell_only"] == "LOSS" and not lost:
            self.wrong.append(f"{member['id']}: gain lot {lot['id']} sold in a harvest")
        if not self.taxable[member["account"]]:
            return
        if lost and amount > self.noise:
            self.losses.append(member)
        rate = self.params["rate_lt"] if lot["days"] > self.params["lt_days"] else self.params["rate_st"]
        if lost:
            rate *= 0.0 if member["loss_disallowed"] else self.params["beta"]
        self.cost += rate * (1.0 - lot["basis"] / member["price"]) * amount

    def across(self) -> None:
        """Check what holds between members: one direction for an asset, no purchase beside a loss in its group."""
        both = {member["asset"] for member in self.buys} & {member["asset"] for member in self.sales}
        self.wrong += [f"{asset}: bought and sold" for asset in sorted(both)]
        size: defaultdict[Any, int] = defaultdict(int)
        for sleeve in self.body["sleeves"]:
            for member in sleeve["members"]:
                size[member["wash_group"]] += 1
        lossy = {member["wash_group"] for member in self.losses if size[member["wash_group"]] > 1}
        self.wrong += [
            f"{member['id']}: bought beside a loss in {member['wash_group']}"
            for member in self.buys
            if member["wash_group"] in lossy
        ]


def worth(member: Json) -> float:
    if member["price"] is None:
        return float(member["last_value"])
    return float(sum(lot["qty"] for lot in member["lots"]) * member["price"])
