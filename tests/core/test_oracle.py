"""Drift, COST and VOLATILITY worked out a second time, in fractions and by numpy, over random portfolios.

Here are several currencies, sleeves of several members and of classes, cash that counts and cash that does not, several
lots with and without gains, in accounts with and without tax.
"""

import random
from collections.abc import Sequence
from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest

from app.core.bands import Band, BandKind
from app.core.costs import Costs
from app.core.drift import Snapshot, measure
from app.core.policy import LotMethod, Policy
from app.core.portfolio import AccountKind, AssetClass, TaxLot
from app.core.stats import Closes
from app.core.targets import TargetDraft
from tests.builders import AS_OF, asset, moving_band, sleeve, snapshot

RATES = {"EUR/USD": "1.0837", "GBP/USD": "1.2719", "USD/JPY": "157.31"}
MILLIONTH = Fraction(1, 10**6)
TODAY = AS_OF.date()


def in_dollars(currency: str) -> Fraction:
    """Return what one unit is worth, an inverse to 12 significant digits."""
    if currency == "JPY":
        return Fraction("0.00635687496027")  # 1 / 157.31
    return Fraction(RATES[f"{currency}/USD"]) if currency != "USD" else Fraction(1)


# Symbol, class, currency, sleeve (or none), of a portfolio in dollars.
ASSETS = [
    ("US", AssetClass.ETF, "USD", "World"),
    ("DE", AssetClass.ETF, "EUR", "World"),
    ("JP", AssetClass.ETF, "JPY", "World"),
    ("GILT", AssetClass.BOND, "GBP", "Bonds"),  # by its class
    ("BUND", AssetClass.BOND, "EUR", "Bonds"),
    ("GOLD", AssetClass.COMMODITY, "USD", "Gold"),
    ("TOY", AssetClass.STOCK, "EUR", None),
]


def amount(made: random.Random, most: int, places: int) -> str:
    return f"{Decimal(made.randint(1, most * 10**places)).scaleb(-places):f}"


def world(made: random.Random) -> tuple[Snapshot, dict[str, Fraction], bool]:
    """Return a portfolio, what each of its sleeves is worth, and whether cash is one of them."""
    prices = {symbol: amount(made, 300, 4) for symbol, *_ in ASSETS}
    worth = dict.fromkeys(("World", "Bonds", "Gold", "TOY", "CASH"), Fraction(0))
    ledgers = {}
    for name in ("main", "ira TAX_DEFERRED"):
        lots = []
        for symbol, _, currency, key in made.sample(ASSETS, made.randint(0, len(ASSETS))):
            quantity = amount(made, 1000, 6)
            lots.append(f"{quantity} {symbol} @ {prices[symbol]}")
            worth[key or symbol] += Fraction(quantity) * Fraction(prices[symbol]) * in_dollars(currency)
        for currency in made.sample(["USD", "EUR", "JPY"], made.randint(0, 3)):
            cash = amount(made, 50_000, 2)
            lots.append(f"{cash} {currency} cash")
            worth["CASH"] += Fraction(cash) * in_dollars(currency)
        ledgers[name] = ", ".join(lots)
    has_cash = made.random() < 0.5
    cuts = sorted(made.randint(0, 10**8) for _ in range(3 if has_cash else 2))
    shares = [Decimal(b - a).scaleb(-6) for a, b in zip([0, *cuts], [*cuts, 10**8], strict=True)]
    drafts: list[tuple[str, TargetDraft]] = [
        ("World", TargetDraft(shares[0], None, ("US", "DE", "JP"))),
        ("Bonds", TargetDraft(shares[1], None, (), AssetClass.BOND)),
        ("Gold", TargetDraft(shares[2], None, ("GOLD",))),
        *([("CASH", TargetDraft(shares[3]))] if has_cash else []),
    ]
    made.shuffle(drafts)
    known = [asset(symbol, of, currency=currency) for symbol, of, currency, _ in ASSETS]
    start = snapshot(ledgers, dict(drafts), assets=known, prices=prices, rates=RATES)
    return start, worth, has_cash


@pytest.mark.parametrize("seed", range(60))
def test_drift_of_mixed_portfolios_agrees_with_fractions(seed: int) -> None:
    start, worth, has_cash = world(random.Random(seed))
    report = measure(start)
    base = sum(worth.values(), Fraction(0)) - (0 if has_cash else worth["CASH"])
    assert Fraction(report.base or 0) == base
    assert Fraction(report.valuation.value or 0) == sum(worth.values(), Fraction(0))
    assert start.targets
    wanted = {target.key: Fraction(target.percent) for target in start.targets.entries}
    untargeted = {"TOY": Fraction(0)} if worth["TOY"] else {}
    assert [entry.key for entry in report.entries] == ([*wanted, *untargeted] if base else [])
    total = Fraction(0)
    for entry in report.entries:
        gap = worth[entry.key] - (wanted | untargeted)[entry.key] / 100 * base
        total += abs(gap)
        assert Fraction(entry.to_target) == -gap
        assert Fraction(entry.drift) == round(gap / base * 10**8) * MILLIONTH
        # SMART: a quarter of the target, from one to five points.
        half = min(max((wanted | untargeted)[entry.key] / 4, Fraction(1)), Fraction(5))
        half = round(half * 10**6) * MILLIONTH
        share = abs(gap) / base * 100
        status = "BREACHED" if share > half else "WARNING" if share >= half * 4 / 5 and gap else "WITHIN"
        assert (entry.key, entry.status.value) == (entry.key, status)
        assert sum(Fraction(member.value) for member in entry.members) == (
            0 if entry.key == "CASH" and entry.targeted else worth[entry.key]
        )
    if base:
        assert Fraction(report.turnover_to_target or 0) == round(total / base * 50 * 10**6) * MILLIONTH


def is_long(held_since: date) -> bool:
    """More than one year, by the calendar; no lot here is of a 29 February."""
    return held_since.replace(year=held_since.year + 1) < TODAY


def cost_of_selling(start: Snapshot, price: Fraction, target: Fraction, costs: Costs) -> Fraction:
    """Return costs and tax over proceeds of the sale from what is held to the target, or of the first lot."""
    policy = start.policy

    def rate(lot: TaxLot, *, taxed: bool) -> Fraction:
        return Fraction(policy.long_term_rate if is_long(lot.holding_from) else policy.short_term_rate) * taxed / 100

    def order(one: tuple[TaxLot, bool]) -> tuple[Fraction, Fraction, date, str]:
        lot, taxed = one
        unit = Fraction(lot.basis) / Fraction(lot.quantity)
        if policy.lot_method is LotMethod.MIN_TAX:
            return rate(lot, taxed=taxed) * (1 - unit / price), -unit, lot.acquired_on, lot.id
        return -unit if policy.lot_method is LotMethod.HIFO else Fraction(0), Fraction(0), lot.acquired_on, lot.id

    held = [
        (lot, account.kind is AccountKind.TAXABLE)
        for account in start.portfolio.accounts
        for lot in account.lots
        if lot.asset_id == "A"
    ]
    held.sort(key=order)
    value = sum(Fraction(lot.quantity) for lot, _ in held) * price
    base = value + Fraction(40)
    left = value - target * base
    if left <= 0:
        left = Fraction(held[0][0].quantity) * price
    raised, tax = Fraction(0), Fraction(0)
    for lot, taxed in held:
        part = min(left, Fraction(lot.quantity) * price)
        sold = part / price
        tax += rate(lot, taxed=taxed) * (part - Fraction(lot.basis) * sold / Fraction(lot.quantity))
        raised += part
        left -= part
    return Fraction(costs.rate) + Fraction(costs.half_spread) + max(Fraction(0), tax) / raised


@pytest.mark.parametrize("seed", range(120))
def test_cost_bands_agree_with_the_formula_and_the_tax_on_the_lots_that_go(seed: int) -> None:
    made = random.Random(seed)
    fixed_fee, rate_of_fee, minimum, half_spread = (Decimal(made.randint(0, 40)).scaleb(-4) for _ in range(4))
    costs = Costs(fixed_fee, rate_of_fee, minimum, half_spread)
    policy = Policy(
        default_band=Band(BandKind.COST),
        lot_method=made.choice([LotMethod.MIN_TAX, LotMethod.HIFO, LotMethod.FIFO]),
        short_term_rate=Decimal(made.randint(0, 50)),
        long_term_rate=Decimal(made.randint(0, 30)),
        risk_aversion=Decimal(made.randint(1, 50)) / 2,
    )
    price, target = amount(made, 3, 2), Decimal(made.randint(1, 99))
    ledgers = {}
    for name in ("main", "ira TAX_EXEMPT"):
        lots = [
            f"{amount(made, 20, 3)} A {{{amount(made, 4, 2)} USD {made.choice([2019, 2022, 2023, 2024])}-05-{day}}}"
            for day in made.sample(range(10, 30), 3)
        ]
        ledgers[name] = ", ".join(lots)
    ledgers["main"] += ", 40 B @ 1, 7 cash"
    wanted: dict[str, str | TargetDraft] = {"A": str(target), "B": str(100 - target)}
    start = snapshot(ledgers, wanted, policy=policy, assets=[asset("A", costs=costs)], prices={"A": price})
    report = measure(start)
    entry, base = report.entries[0], Fraction(report.base or 0)
    share = Fraction(target) / 100
    fixed = max(Fraction(costs.fixed), Fraction(costs.minimum)) / base
    rates = (
        Fraction(costs.rate) + Fraction(costs.half_spread),
        cost_of_selling(start, Fraction(price), share, costs),
    )
    for found, rate in zip((entry.width.down, entry.width.up), rates, strict=True):
        if not rate and not fixed:
            assert found == min(max(target / 4, Decimal(1)), Decimal(5))
            continue
        spread = float(share * (1 - share)) ** 2 / float(policy.risk_aversion)
        half = max((1.5 * float(rate) * spread) ** (1 / 3), (12 * float(fixed) * spread) ** 0.25) * 100
        assert abs(float(found) - min(half, 100)) <= 1e-6


def walked(made: np.random.Generator, days: Sequence[date], daily: float) -> Closes:
    prices = 50 * np.cumprod(1 + made.normal(0, daily, size=len(days)))
    return Closes(tuple(days), tuple(prices.tolist()))


@pytest.mark.parametrize("seed", range(40))
def test_volatility_bands_agree_with_numpy(seed: int) -> None:
    """Of two members by value, over the common days of the window; weekends have no closes, and some days neither."""
    made = np.random.default_rng(seed)
    window = int(made.integers(60, 500))
    every = [TODAY - timedelta(days=back) for back in range(600, 0, -1)]
    kept = [[day for day in every if day.weekday() < 5 and made.random() > 0.1] for _ in range(2)]
    one, other = (walked(made, days, daily) for days, daily in zip(kept, (0.01, 0.02), strict=True))
    worth = [int(made.integers(1, 50)) for _ in range(2)]
    band = moving_band("2", window)
    start = snapshot(
        f"{worth[0]} A1 @ 1, {worth[1]} A2 @ 1, 30 B @ 1",
        {"A": sleeve("40", "A1", "A2", band=band), "B": "60"},
    )
    entry = measure(replace(start, closes={"A1": one, "A2": other})).entries[0]

    since = TODAY - timedelta(days=window)
    common = [day for day in every if day >= since and day in kept[0] and day in kept[1]]
    columns = [
        np.array([price for day, price in zip(c.days, c.prices, strict=True) if day in common]) for c in (one, other)
    ]
    returns = sum(w / sum(worth) * (c[1:] / c[:-1] - 1) for w, c in zip(worth, columns, strict=True))
    assert isinstance(returns, np.ndarray)
    years = (common[-1] - common[0]).days / 365.25
    sigma = np.std(returns, ddof=1) * np.sqrt(len(returns) / years) * 100
    assert entry.volatility is not None
    assert entry.volatility.percent is not None
    assert entry.volatility.returns == len(common) - 1
    assert abs(float(entry.volatility.percent) - sigma) <= 1e-6
    assert abs(float(entry.width.down) - 2 * sigma * 0.4) <= 2e-6
