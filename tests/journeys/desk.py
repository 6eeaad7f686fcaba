"""Portfolios whose plans are executed, and what has to be true of them in the end, whatever happened on the way."""

import itertools
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

from app.core import ids
from tests.support import Person, Steelyard, until

PLAN: Final = """
id status version reason approvedBy
trades { id sequence symbol side quantity execution { style } }
orders { id clientId symbol side slice style quantity limit { amount } status filledQuantity message }
"""
UPDATES: Final = f"subscription ($id: ID!) {{ planUpdated(planId: $id) {{ {PLAN} }} }}"
OVER: Final = ("COMPLETED", "PARTIAL", "CANCELLED", "REJECTED", "SUPERSEDED", "EXPIRED", "FAILED")

UNITS, CASH = Decimal(10), Decimal(100)

_numbers = itertools.count(1)


@dataclass(frozen=True)
class Desk:
    """A portfolio of 10 of a coin at 100, 10 of a stock at 50 and 100 in cash, which wants 50, 45 and 5 percent.

    Its plan sells 1.8 of the coin in three slices, one every five minutes, and buys 4 of the stock.
    """

    person: Person
    portfolio_id: str
    coin: str
    stock: str

    @property
    def steelyard(self) -> Steelyard:
        return self.person.steelyard

    @classmethod
    async def open(cls, person: Person, *, execution: str = "PAPER", **policy: object) -> "Desk":
        number = next(_numbers)
        coin, stock = f"EX{number}C", f"EX{number}S"
        operator = person.steelyard.operator
        await operator.list_asset(coin, "100", assetClass="CRYPTO", step="0.001", priceStep="0.01")
        await operator.list_asset(stock, "50", step="1", priceStep="0.01")
        return await cls.beside(cls(person, "", coin, stock), execution=execution, **policy)

    @classmethod
    async def beside(cls, other: "Desk", *, execution: str = "PAPER", **policy: object) -> "Desk":
        """Open a portfolio of the same owner in the same assets."""
        coin, stock = other.coin, other.stock
        lots = [{"symbol": symbol, "quantity": str(UNITS)} for symbol in (coin, stock)]
        portfolio_id = await other.person.create(
            accounts=[{"lots": lots, "cash": str(CASH), "execution": execution}],
            targets=[
                {"key": coin, "percent": 50, "band": {"absolute": 5}},
                {"key": stock, "percent": 45, "band": {"absolute": 5}},
                {"key": "CASH", "percent": 5, "band": {"absolute": 5}},
            ],
            policy={"twapHorizon": "PT10M", "twapInterval": "PT5M", "cooldown": "PT0S", **policy},
        )
        return cls(other.person, portfolio_id, coin, stock)

    async def propose(self) -> dict[str, Any]:
        asked = {"portfolioId": self.portfolio_id, "scope": "FULL", "wait": "PT20S"}
        plan: dict[str, Any] = (await self.person.done("rebalancePropose", f"plan {{ {PLAN} }}", **asked))["plan"]
        assert plan["status"] == "READY", plan
        return plan

    async def approve(self, plan: dict[str, Any], key: str = "once", **given: object) -> dict[str, Any]:
        """Approve a plan as it was seen, and return the payload."""
        asked = {"planId": plan["id"], "expectedVersion": plan["version"], "idempotencyKey": f"{plan['id']}-{key}"}
        return await self.person.change("planApprove", f"plan {{ {PLAN} }}", **asked, **given)

    async def plan(self, plan_id: str) -> dict[str, Any]:
        asked = f"query ($id: ID!) {{ rebalancePlan(id: $id) {{ {PLAN} }} }}"
        found: dict[str, Any] = (await self.person.ask(asked, id=plan_id))["rebalancePlan"]
        return found

    async def until_over(self, plan_id: str, within_s: float = 20) -> dict[str, Any]:
        """Wait until a plan is over and return it."""
        found: dict[str, Any] = {}

        async def over() -> bool:
            found.update(await self.plan(plan_id))
            return found["status"] in OVER

        await until(over, within_s)
        return found

    async def until_filled(self, plan_id: str, side: str, orders: int) -> None:
        """Wait until so many orders of a plan on one side are filled."""

        async def filled() -> bool:
            found = (await self.plan(plan_id))["orders"]
            return [one["status"] for one in found if one["side"] == side].count("FILLED") >= orders

        await until(filled)

    async def books(self) -> tuple[dict[str, Decimal], Decimal]:
        """Return the units of each asset, and the cash."""
        units = """
            SELECT a.symbol, sum(t.quantity) FROM tax_lots t JOIN accounts c ON c.id = t.account_id
            JOIN portfolios p ON p.id = c.portfolio_id JOIN assets a ON a.id = t.asset_id
            WHERE p.public_id = $1 GROUP BY a.symbol
        """
        cash = """
            SELECT sum(b.amount) FROM account_cash b JOIN accounts c ON c.id = b.account_id
            JOIN portfolios p ON p.id = c.portfolio_id WHERE p.public_id = $1
        """
        mine = ids.decode(ids.PORTFOLIO, self.portfolio_id)
        [(amount,)] = await self.steelyard.rows(cash, mine)
        return dict(await self.steelyard.rows(units, mine)), amount or Decimal(0)

    async def assert_booked_once(self) -> None:
        """Nothing is lost or doubled: orders and fills are the broker's own, and the books are what they come to."""
        rows, symbols = self.steelyard.rows, [self.coin, self.stock]
        ours = """
            SELECT o.client_id, o.side, o.quantity, o.status, o.filled, o.filled_value, o.fees
            FROM orders o JOIN assets a ON a.id = o.asset_id
            WHERE a.symbol = ANY ($1) AND o.broker_order_id IS NOT NULL ORDER BY 1
        """
        theirs = """
            SELECT o.client_id, o.side, o.quantity, o.status, coalesce(sum(f.quantity), 0),
                coalesce(sum(f.quantity * f.price), 0), coalesce(sum(f.fee), 0)
            FROM paper_orders o JOIN assets a ON a.id = o.asset_id LEFT JOIN paper_fills f USING (client_id)
            WHERE a.symbol = ANY ($1) GROUP BY o.client_id ORDER BY 1
        """
        sent = await rows(theirs, symbols)
        assert await rows(ours, symbols) == sent
        fills = """
            SELECT client_id, f.number::text, f.quantity, f.price, f.fee, f.filled_at
            FROM paper_fills f JOIN paper_orders o USING (client_id) JOIN assets a ON a.id = o.asset_id
            WHERE a.symbol = ANY ($1) ORDER BY 1, 2
        """
        booked = """
            SELECT o.client_id, f.broker_fill_id, f.quantity, f.price, f.fee, f.filled_at
            FROM fills f JOIN orders o USING (plan_id, leg, slice) JOIN assets a ON a.id = o.asset_id
            WHERE a.symbol = ANY ($1) ORDER BY 1, 2
        """
        assert await rows(booked, symbols) == await rows(fills, symbols)
        moved = """
            SELECT a.symbol, sum(CASE o.side WHEN 'BUY' THEN f.quantity ELSE -f.quantity END),
                sum(CASE o.side WHEN 'BUY' THEN -f.quantity * f.price ELSE f.quantity * f.price END - f.fee)
            FROM paper_fills f JOIN paper_orders o USING (client_id) JOIN assets a ON a.id = o.asset_id
            WHERE a.symbol = ANY ($1) GROUP BY a.symbol
        """
        changes = {symbol: (units, cash) for symbol, units, cash in await rows(moved, symbols)}
        units, cash = await self.books()
        none = Decimal(0), Decimal(0)
        assert units == {symbol: UNITS + changes.get(symbol, none)[0] for symbol in symbols}
        assert cash == CASH + sum(change[1] for change in changes.values())

    async def history(self) -> list[str]:
        """Return the kinds of the lines in the portfolio's history."""
        lines = """
            SELECT h.kind FROM rebalance_history h JOIN portfolios p ON p.id = h.portfolio_id
            WHERE p.public_id = $1 ORDER BY h.sequence
        """
        mine = ids.decode(ids.PORTFOLIO, self.portfolio_id)
        return [kind for (kind,) in await self.steelyard.rows(lines, mine)]

    async def assert_history_is_whole(self, *kinds: str) -> None:
        """The chain verifies; where kinds are given, its lines about plans are these, in this order."""
        asked = "query ($id: ID!) { portfolio(id: $id) { auditTrail { whole lines } } }"
        trail = (await self.person.ask(asked, id=self.portfolio_id))["portfolio"]["auditTrail"]
        found = await self.history()
        assert trail == {"whole": True, "lines": len(found)}
        assert not kinds or [kind for kind in found if kind.startswith("PLAN_")] == list(kinds)
