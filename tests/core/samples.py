"""Strategies and settings that the property tests of the core share."""

from datetime import date
from decimal import Decimal
from itertools import pairwise
from typing import Final

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from app.core.bands import SMART, Band, BandKind, Destination, below, two_sided
from app.core.costs import Costs, Impact, Tier
from app.core.policy import LotMethod, Objective, OrderStyle, Policy, TaxRegime, WashRule
from app.core.portfolio import AssetClass
from app.core.targets import TargetDraft
from tests.builders import absolute, hybrid, moving_band, relative

# The same examples on every run: a test that fails for you fails for everybody.
PROPERTY: Final = settings(
    max_examples=100, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck)
)

SYMBOLS: Final = ("A", "B", "C", "D", "E")
_EARLY, _LATE = date(2019, 1, 1), date(2024, 5, 31)


def decimals(low: str, high: str, places: int) -> st.SearchStrategy[Decimal]:
    return st.decimals(min_value=Decimal(low), max_value=Decimal(high), places=places)


@st.composite
def percents(draw: st.DrawFn, count: int) -> list[Decimal]:
    """Draw `count` percents of up to six decimals that sum to exactly 100, zeros among them."""
    cuts = sorted(draw(st.lists(st.integers(0, 10**8), min_size=count - 1, max_size=count - 1)))
    edges = [0, *cuts, 10**8]
    return [Decimal(high - low).scaleb(-6) for low, high in pairwise(edges)]


def every_band() -> st.SearchStrategy[Band]:
    """Draw bands of every kind, now and then with another side above."""
    factors = decimals("0.01", "100", 2)
    windows = st.integers(30, 3650)
    sides = st.one_of(
        band_kinds(),
        st.builds(lambda k, n: moving_band(str(k), n), factors, windows),
        st.sampled_from([Band(BandKind.COST), Band(BandKind.COST, floor=Decimal(1), cap=Decimal(3))]),
    )
    return st.builds(two_sided, sides.map(below), st.none() | sides.map(below))


def band_kinds() -> st.SearchStrategy[Band]:
    """Draw bands that rest on the target alone."""
    points, shares = decimals("0", "20", 3), decimals("0", "100", 3)
    return st.one_of(
        st.just(SMART),
        points.map(lambda a: absolute(str(a))),
        shares.map(lambda r: relative(str(r))),
        st.builds(lambda r, f, c: relative(str(r), floor=str(min(f, c)), cap=str(max(f, c))), shares, points, points),
        st.builds(lambda a, r: hybrid(str(a), str(r)), points, shares),
    )


@st.composite
def ledgers(draw: st.DrawFn, *, cash: bool = True) -> dict[str, str]:
    """Draw one or two accounts with lots of up to five assets, odd prices and odd quantities."""
    prices = {symbol: draw(decimals("0.01", "5000", draw(st.integers(2, 8)))) for symbol in SYMBOLS}
    accounts = {}
    for name in draw(st.sampled_from((["main"], ["main", "ira TAX_DEFERRED"]))):
        entries = []
        for symbol in draw(st.lists(st.sampled_from(SYMBOLS), max_size=6)):
            quantity, cost = draw(decimals("0.000001", "1000", 6)), draw(decimals("0.01", "5000", 2))
            day = draw(st.dates(min_value=_EARLY, max_value=_LATE))
            entries.append(f"{quantity:f} {symbol} {{{cost:f} USD {day}}} @ {prices[symbol]:f}")
        if cash:
            entries.append(f"{draw(decimals('0', '20000', 2)):f} cash")
        accounts[name] = ", ".join(entries)
    return accounts


def prices_of(ledger: dict[str, str]) -> dict[str, str]:
    """Give every symbol a price, those that nobody holds too."""
    return dict.fromkeys(SYMBOLS, "17.3") | {
        item.split()[1]: item.split("@")[1].strip()
        for text in ledger.values()
        for item in text.split(",")
        if "@" in item
    }


@st.composite
def targets(
    draw: st.DrawFn, *, with_cash: bool | None = None, bands: st.SearchStrategy[Band] | None = None
) -> dict[str, str | TargetDraft]:
    """Draw sleeves over the first assets, some with a band of their own, now and then with the sleeve CASH."""
    has_cash = draw(st.booleans()) if with_cash is None else with_cash
    keys = [*SYMBOLS[: draw(st.integers(1, 5))], *(["CASH"] if has_cash else [])]
    shares = draw(percents(len(keys)))
    own_bands = draw(
        st.lists(st.none() | (band_kinds() if bands is None else bands), min_size=len(keys), max_size=len(keys))
    )
    return {key: TargetDraft(share, band=band) for key, share, band in zip(keys, shares, own_bands, strict=True)}


def costs() -> st.SearchStrategy[Costs]:
    rate = decimals("0", "0.02", 4)
    return st.builds(Costs, decimals("0", "5", 2), rate, decimals("0", "10", 2), rate)


@st.composite
def tiers(draw: st.DrawFn, above: Decimal) -> Tier:
    """Draw a line of fees, with a cap now and then."""
    minimum = draw(decimals("0", "20", 2))
    cap = draw(st.none() | decimals("0", "60", 2))
    fixed, rate = draw(decimals("0", "9", 2)), draw(decimals("0", "0.02", 5))
    return Tier(above, fixed, rate, minimum, None if cap is None else minimum + cap)


@st.composite
def schedules(draw: st.DrawFn, *, impact: bool | None = None) -> Costs:
    """Draw costs of every kind: brackets, lines of which the cheapest counts, caps, conversion, impact."""
    starts = sorted(draw(st.lists(st.sampled_from([Decimal(0), Decimal(500), Decimal("7000.5")]), max_size=4)))
    first, *others = [draw(tiers(above)) for above in (Decimal(0), *starts)]
    moves = draw(st.builds(Impact, decimals("0", "0.2", 4), decimals("1", "1000000", 0)))
    return Costs(
        *(first.fixed, first.rate, first.minimum, draw(decimals("0", "0.01", 4)), first.cap, tuple(others)),
        conversion=draw(decimals("0", "0.01", 4)),
        impact=moves if draw(st.just(impact) if impact is not None else st.booleans()) else None,
    )


def rules() -> st.SearchStrategy[dict[str, object]]:
    """Draw what a policy says about planning and tax: fields by name."""
    share, amount = decimals("0", "100", 6), decimals("0", "1e6", 10)
    symbols = st.lists(st.sampled_from(("GME", "BRK.B", "BTC", *SYMBOLS)), unique=True, max_size=3).map(tuple)
    return st.fixed_dictionaries(
        {
            "objective": st.sampled_from(Objective),
            "drift_price": st.none() | decimals("0.000001", "1000", 6),
            "tax_regime": st.sampled_from(TaxRegime),
            "wash_rule": st.sampled_from(WashRule),
            "crypto_washes": st.booleans(),
            "loss_credit": share,
            "yearly_loss_cap": amount,
            "min_harvest": amount,
            "min_harvest_share": share,
            "max_turnover": st.none() | share,
            "tax_budget": st.none() | amount,
            "improvement": st.none() | share,
            "no_buy": symbols,
            "no_sell": symbols,
            "styles": styles(),
            "twap_horizon_s": st.integers(0, 86_400),
            "twap_interval_s": st.integers(174, 10**6),  # 173 would make 500 slices of a day, and one more
            "volatility_limit": share,
            "participation_limit": share,
            "collar_days": decimals("0", "30", 6),
            "collar_min": decimals("0", "5", 6),
            "collar_max": decimals("5", "50", 6),
            "reprice_after_s": st.integers(0, 10**6),
            "reprices": st.integers(0, 100),
            "price_move_limit": st.none() | share,
            "four_eyes": st.booleans(),
        }
    )


def styles() -> st.SearchStrategy[dict[AssetClass, OrderStyle]]:
    """Draw how classes are worked; only funds are traded at net asset value."""
    kinds = [kind for kind in AssetClass if kind is not AssetClass.FUND]
    named = st.dictionaries(st.sampled_from(kinds), st.sampled_from([one for one in OrderStyle if one.value != "NAV"]))
    funds = st.dictionaries(st.just(AssetClass.FUND), st.sampled_from(OrderStyle))
    return st.builds(lambda some, fund: some | fund, named, funds)


def policies(*, free: bool = False) -> st.SearchStrategy[Policy]:
    """Draw policies; `free` ones have nothing that keeps a trade from happening."""
    nothing = st.just(Decimal(0))
    return st.builds(
        Policy,
        default_band=band_kinds(),
        destination=st.just(Destination.TARGET) if free else st.sampled_from(Destination),
        band_kept=decimals("0", "1", 3),
        min_trade=nothing if free else decimals("0", "300", 2),
        max_fee=st.just(Decimal(100)) if free else decimals("0", "100", 2),
        cash_buffer=nothing if free else decimals("0", "20", 2),
        allow_sells=st.just(True) if free else st.booleans(),
        lot_method=st.sampled_from([method for method in LotMethod if not free or method is not LotMethod.SPEC_ID]),
        short_term_rate=nothing if free else decimals("0", "50", 1),
        long_term_rate=nothing if free else decimals("0", "30", 1),
    )
