"""Whom a price concerns: by SQL over all portfolios, the same as core says of each."""

from app.core.portfolio import rests_on
from app.store import ticks
from app.store.ticks import Moved
from tests.builders import AS_OF, asset, snapshot
from tests.store.world import World

RATES = {"EUR/USD": "1.1", "GBP/USD": "1.3", "JPY/USD": "0.01", "GBP/EUR": "1.2", "CHF/GBP": "0.9"}
LEDGERS = [
    ("10 AAPL @ 180, 100 cash", "USD"),
    ("10 SAP @ 70, 100 USD cash", "USD"),
    ("10 SAP @ 70, 5 AAPL @ 180", "EUR"),
    ("10 SAP @ 70, 100 EUR cash", "EUR"),
    ("10 SAP @ 70, 100 GBP cash", "GBP"),
    ("100 JPY cash, 100 CHF cash", "CHF"),
    ("100 JPY cash", "USD"),
    ("100 USD cash", "USD"),
]


async def test_the_portfolios_a_price_touches_are_those_that_rest_on_it(each_world: World) -> None:
    world = each_world
    kept = []
    for ledger, base in LEDGERS:
        wanted = snapshot(ledger, assets=[asset("SAP", currency="EUR")], rates=RATES, base=base)
        kept.append((await world.keep(wanted)).row.public_id)
    loaded = [await world.find(one, AS_OF) for one in kept]
    async with world.store.shared() as tx:
        rows = await tx.fetch("SELECT id, public_id, symbol, currency, asset_class FROM assets ORDER BY id")
        found, expected = {}, {}
        for row in rows:
            pairs = [(row["symbol"], row["currency"])] if row["asset_class"] == "CASH" else []
            name = f"{row['symbol']}:{row['currency']}"
            found[name] = await ticks.scan_touched(tx, Moved([row["id"]], pairs), 0, 100)
            expected[name] = [
                one.row.id
                for one in loaded
                if name
                in {
                    f"{one.snapshot.market.assets[key].symbol}:{one.snapshot.market.assets[key].currency}"
                    for key in rests_on(one.snapshot.portfolio, one.snapshot.market)
                }
            ]
        everything = Moved([row["id"] for row in rows], [("EUR", "USD"), ("JPY", "USD")])
        ids = [one.row.id for one in loaded]
        assert await ticks.scan_touched(tx, everything, 0, 3) == ids[:3]
        assert await ticks.scan_touched(tx, everything, ids[2], 100) == ids[3:7]
    assert found == expected
    assert [len(found[name]) for name in ("AAPL:USD", "SAP:EUR", "EUR:USD", "JPY:USD")] == [2, 4, 3, 2]
