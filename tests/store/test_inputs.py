"""What a plan was made from comes back equal, to the last digit and bit, and is small."""

import random
import struct
from collections.abc import Iterator
from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal

from hypothesis import given, settings
from hypothesis import strategies as st

from app.context import new_uuid
from app.core import ids
from app.core.costs import Costs, Impact, Liquidity, Tier
from app.core.drift import Snapshot
from app.core.lots import GainTerm
from app.core.optimize.allocate import PlanScope
from app.core.optimize.problem import Limits
from app.core.plan import PlanRequest
from app.core.policy import LotMethod, OrderStyle, Policy
from app.core.portfolio import Account, AccountKind, AssetClass, Broker, Market, Portfolio, Price, TaxLot
from app.core.replay import Inputs, differences, head_of
from app.core.stats import Closes
from app.core.targets import Target, Targets
from app.core.tax import RecentBuy, RecentLoss, TaxFacts
from app.store import inputs
from tests.builders import AS_OF, asset, moving_band, sleeve, snapshot, swinging
from tests.core.samples import PROPERTY
from tests.core.test_plan_properties import plan_of, starts

LIMITS = Limits(1e-8, 500, 10.0)
PRECISE = Decimal("12345678901234.123456789012345678")
FULL = PlanRequest(PlanScope.FULL)
DAYS = st.dates(date(1990, 1, 1), date(2100, 1, 1))


def made_from(start: Snapshot, request: PlanRequest = FULL, *, limits: Limits = LIMITS, ended: bool = True) -> Inputs:
    return Inputs(head_of(limits, ended=ended), start, request)


def rich() -> Snapshot:
    """A snapshot with something in nearly every field, and much that is not the default."""
    costs = Costs(Decimal(1), PRECISE, tiers=(Tier(Decimal(5), cap=Decimal("0.30")),), impact=Impact(PRECISE, PRECISE))
    policy = Policy(
        default_band=moving_band(),
        lot_method=LotMethod.SPEC_ID,
        drift_price=Decimal("1E-7"),
        price_move_limit=None,
        no_buy=('ÄÖ, "x"',),
        styles={AssetClass.CRYPTO: OrderStyle.TWAP},
        max_turnover=Decimal("0.000001"),
    )
    start = snapshot(
        {"main": "33.333333333333333333 AAPL {150 USD 2024-01-05} @ 180.1, 900 cash", "b TAX_EXEMPT": "5 EUR cash"},
        {"AAPL": sleeve("40", "AAPL", of=AssetClass.STOCK), "CASH": "60"},
        assets=[replace(asset("AAPL", costs=costs), liquidity=Liquidity(PRECISE, Decimal("0.02")))],
        rates={"EUR/USD": "1.1", "CHF/USD": "1.09"},
        policy=policy,
    )
    broker = Broker("IB", "USD", PRECISE, {AssetClass.STOCK: (Tier(fixed=Decimal("0.10")), Tier(PRECISE))})
    accounts = tuple(replace(one, broker="IB", history_from=date(2020, 1, 1)) for one in start.portfolio.accounts)
    facts = TaxFacts(
        buys=(RecentBuy("AAPL", PRECISE, date(2024, 5, 1)), RecentBuy("AAPL", PRECISE, date(2024, 5, 2), "main-1")),
        losses=(RecentLoss("X", PRECISE, PRECISE, GainTerm.LONG, date(2024, 5, 2)),),
        short_gain=Decimal("-0.0000000001"),
        known_from=date(2020, 1, 1),
    )
    return replace(
        start,
        portfolio=replace(start.portfolio, accounts=accounts),
        market=replace(start.market, brokers={"IB": broker}),
        closes={"AAPL": swinging("20"), "EUR/USD": Closes()},
        tax=facts,
    )


def test_inputs_come_back_equal_and_with_their_digest() -> None:
    request = PlanRequest(PlanScope.CASH_FLOW, Decimal("-0.0000000001"), ("A",), (), ("B", "C"), ("lot",))
    for start in (rich(), snapshot("1 AAPL @ 1"), replace(snapshot("", {"CASH": "100"}), targets=None)):
        kept = made_from(start, request, ended=False)
        back = inputs.unpack(inputs.pack(kept))
        assert back == kept
        assert back.digest == kept.digest
        assert inputs.head_of(inputs.pack(kept)) == kept.head


def test_mappings_come_back_in_their_order() -> None:
    """Of two rates as good, which comes first may count; equal mappings may have another order."""
    start = rich()
    back = inputs.unpack(inputs.pack(made_from(start))).snapshot
    assert list(back.market.assets) == list(start.market.assets) == ["AAPL", "EUR/USD", "CHF/USD"]
    backwards = replace(start, market=replace(start.market, assets=dict(reversed(list(start.market.assets.items())))))
    assert made_from(backwards) == made_from(start)
    assert list(inputs.unpack(inputs.pack(made_from(backwards))).snapshot.market.assets) == [
        *("CHF/USD", "EUR/USD", "AAPL"),
    ]


@given(
    prices=st.lists(st.tuples(DAYS, st.floats(allow_nan=False, allow_infinity=False)), unique_by=lambda one: one[0]),
    amount=st.decimals(allow_nan=False, allow_infinity=False, places=18, min_value=-(10**15), max_value=10**15),
    gap=st.floats(0, 1),
)
def test_every_close_comes_back_to_the_bit_and_every_amount_to_the_digit(
    prices: list[tuple[date, float]], amount: Decimal, gap: float
) -> None:
    closes = Closes(tuple(day for day, _ in prices), tuple(price for _, price in prices))
    start = replace(snapshot("1 AAPL @ 1"), closes={"AAPL": closes}, tax=TaxFacts(short_gain=amount))
    back = inputs.unpack(inputs.pack(made_from(start, limits=Limits(gap))))
    assert (back.snapshot.tax.short_gain, back.head.limits.gap, back.snapshot.closes["AAPL"].days) == (
        amount,
        gap,
        closes.days,
    )
    assert list(map(bits, back.snapshot.closes["AAPL"].prices)) == list(map(bits, closes.prices))


@settings(PROPERTY, max_examples=15)
@given(starts(), st.sampled_from([PlanScope.FULL, PlanScope.BREACHED_ONLY]))
def test_the_same_plan_is_made_of_what_comes_back(start: Snapshot, scope: PlanScope) -> None:
    plan = plan_of(start, PlanRequest(scope))
    back = inputs.unpack(inputs.pack(made_from(start, PlanRequest(scope))))
    again = plan_of(back.snapshot, back.request)
    assert again == plan
    if plan and again:
        assert differences(plan, again) == ()


def bits(number: float) -> bytes:
    return struct.pack("d", number)


def large(assets: int, lots: int) -> Snapshot:
    """A portfolio of many lots, bought at odd prices on odd days, under ids as the store makes them."""
    odd = random.Random(1)

    def price() -> Decimal:
        return Decimal(odd.randint(1_000, 90_000)) / 100

    held = {
        name: replace(asset(name), name=f"The Company of {name}", id=ids.encode(ids.ASSET, new_uuid()))
        for name in (f"ST{number}" for number in range(assets))
    }
    names = list(held)

    def lot() -> TaxLot:
        bought, day = Decimal(odd.randint(1, 10**7)) / 10_000, date(2015, 1, 1) + timedelta(odd.randrange(3400))
        key = held[odd.choice(names)].id
        return TaxLot(ids.encode(ids.LOT, new_uuid()), key, bought, bought * price(), day, day)

    account = Account("ac", "Main", AccountKind.TAXABLE, {"USD": price()}, tuple(lot() for _ in range(lots)))
    wanted = Targets(tuple(Target(name, Decimal(100) / assets, (one.id,)) for name, one in held.items()), 1)
    market = Market(
        {one.id: one for one in held.values()}, {one.id: Price(price(), AS_OF, "test") for one in held.values()}
    )
    return Snapshot(Portfolio("pf", "Large", "USD", (account,)), wanted, Policy(), market, AS_OF)


def with_closes(start: Snapshot, days: int) -> Snapshot:
    odd = random.Random(2)

    def walk() -> Iterator[float]:
        return (odd.randint(10_000, 20_000) / 100 for _ in range(days))

    known = tuple(date(2023, 6, 1) + timedelta(place) for place in range(days))
    return replace(start, closes={key: Closes(known, tuple(walk())) for key in start.market.assets})


def test_a_plan_of_500_lots_keeps_less_than_20_kilobytes_and_a_close_less_than_four() -> None:
    start = large(25, 500)
    size = len(inputs.pack(made_from(start)))
    assert size < 20_000
    assert len(inputs.pack(made_from(with_closes(start, 252)))) - size < 4 * 25 * 252
