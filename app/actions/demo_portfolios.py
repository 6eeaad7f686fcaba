"""The portfolios of the demo: three owners whose markets will move them out of their bands.

Sized from the closes of the first day, so that most start within their bands; bought on earlier days, at the closes of
those days. What each is for stands with it.
"""

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any, Final

from app.actions import demo_prices
from app.actions.demo_prices import CLOSE_PLACES, PriceSeries
from app.core.bands import FACTOR, HYBRID_ABSOLUTE, HYBRID_RELATIVE, SMART, Band, BandKind, Destination
from app.core.drafts import AccountDraft, LotDraft, PortfolioDraft
from app.core.errors import InvalidInput
from app.core.money import ONE, ROUNDED, floor_to_step, quotient
from app.core.policy import DAY_S, LotMethod, Policy
from app.core.portfolio import AccountKind, AssetClass, BrokerKind
from app.core.targets import CASH, TargetDraft

OWNERS: Final = ("alice", "bob", "carol")
PORTFOLIOS_MAX: Final = 3  # of one owner
WORKED: Final = ("alice", "Crypto tilt")
"""Owner and name of the portfolio whose plans the demo itself approves."""

GROWTH: Final = "Growth"
VALUE: Final = "Value"
"""Models that two portfolios of one owner follow, each with assets in common."""

HYBRID: Final = Band(BandKind.HYBRID, absolute=HYBRID_ABSOLUTE, relative=HYBRID_RELATIVE)
TIGHT: Final = Band(BandKind.ABSOLUTE, absolute=Decimal("0.4"))
VOLATILE: Final = Band(BandKind.VOLATILITY, factor=FACTOR, window_days=90, cap=Decimal(8))
# The replay has prices of exchange days only, also of crypto, and comes some hours of its fast clock after the fact:
# around a holiday a price is a little over four days old before the next one is there.
MAX_PRICE_AGE_S: Final = dict.fromkeys(AssetClass, 5 * DAY_S)
# A day passes in seconds: whoever proposes a plan by hand has a minute to look at it and approve it.
PLAN_LIFETIME_S: Final = 14 * DAY_S

BOUGHT: Final = (date(2015, 3, 2), date(2016, 6, 1), date(2017, 9, 1))
# Before General Electric lost a third of its price, and the gas driller four fifths.
BOUGHT_HIGH: Final = (date(2014, 6, 2), date(2016, 7, 20), date(2017, 1, 20))


def portfolios(history: PriceSeries, first_day: date) -> dict[str, list[PortfolioDraft]]:
    """Return what each owner starts with. `history` must reach from before the purchases to `first_day`."""
    desk = Desk(history, first_day)
    return {
        "alice": [_core_growth(desk), _crypto_tilt(desk)],
        "bob": [_retirement(desk), _staples_with_idle_cash(desk)],
        "carol": [_value_at_a_loss(desk), _europa(desk), _inherited(desk)],
    }


@dataclass(frozen=True, slots=True)
class Desk:
    """Buys on paper: from amounts of money on the first day to lots that were bought earlier."""

    history: PriceSeries
    first_day: date

    def account(
        self,
        name: str,
        kind: AccountKind,
        worth: Mapping[str, int],
        *,
        cash: int = 0,
        base: str = "USD",
        bought: Sequence[date] = BOUGHT,
    ) -> AccountDraft:
        """Open an account that holds about `worth` by symbol, in `base` on the first day, each in equal lots.

        Nothing else was ever bought or sold in it. Its orders go to the paper broker.
        """
        lots = [lot for symbol, amount in worth.items() for lot in self._lots(symbol, amount, base, bought)]
        held = {base: Decimal(cash)} if cash else {}
        return AccountDraft(name, kind, held, tuple(lots), min(bought), execution=BrokerKind.PAPER)

    def _lots(self, symbol: str, amount: int, base: str, bought: Sequence[date]) -> list[LotDraft]:
        each = ROUNDED.divide(Decimal(amount), self._price(symbol, self.first_day, base) * len(bought))
        quantity = floor_to_step(each, _ASSETS[symbol].quantity_step)
        return [LotDraft(symbol, quantity, self._price(symbol, day, base), day) for day in bought]

    def _price(self, symbol: str, day: date, base: str) -> Decimal:
        """Return the close of `day` or the last before it, in `base`, half-even to 6 decimals."""
        place = bisect_right(self.history.days, day) - 1
        if place < 0:
            raise InvalidInput(f"the history begins on {self.history.days[0]}; it must reach back to {day}")
        closes, euro = self.history.closes[symbol][place], self.history.closes["EUR"][place]
        in_dollars = euro if _ASSETS[symbol].currency == "EUR" else ONE
        return quotient(closes * in_dollars, euro if base == "EUR" else ONE, CLOSE_PLACES)


_ASSETS: Final = {asset.symbol: asset for asset in demo_prices.assets()}


def _policy(band: Band, **rules: Any) -> Policy:
    return Policy(default_band=band, max_price_age_s=MAX_PRICE_AGE_S, plan_lifetime_s=PLAN_LIFETIME_S, **rules)


def _target(percent: str, *symbols: str, key: str | None = None, band: Band | None = None) -> TargetDraft:
    return TargetDraft(Decimal(percent), key, symbols, None, band)


def _class_target(percent: str, asset_class: AssetClass, key: str) -> TargetDraft:
    return TargetDraft(Decimal(percent), key, (), asset_class)


def _core_growth(desk: Desk) -> PortfolioDraft:
    """Hybrid bands, a sleeve of every bond, a sleeve of cash: two stocks will outgrow the rest over the years."""
    brokerage = {"AAPL": 37_500, "MSFT": 37_500, "JNJ": 25_000, "PG": 25_000}
    pension = {"QUAL": 25_000, "SIM-BOND": 62_500, "SIM-TBILL": 25_000}
    return PortfolioDraft(
        name="Core growth",
        model=GROWTH,
        policy=_policy(HYBRID, destination=Destination.HALFWAY, min_trade=Decimal(250)),
        accounts=(
            desk.account("Brokerage", AccountKind.TAXABLE, brokerage, cash=9_500),
            desk.account("401(k)", AccountKind.TAX_DEFERRED, pension, cash=3_000),
        ),
        targets=(
            _target("15", "AAPL"),
            _target("15", "MSFT"),
            _target("10", "JNJ"),
            _target("10", "PG"),
            _target("10", "QUAL"),
            _class_target("35", AssetClass.BOND, "Bonds"),
            _target("5", key=CASH),
        ),
    )


def _crypto_tilt(desk: Desk) -> PortfolioDraft:
    """Relative bands around simulated crypto, which starts near the edge of its own: the first to breach.

    The monitor proposes a plan when it does, and the demo approves it: crypto is sold or bought in slices over a day,
    the rest by orders with a limit.
    """
    held = {"AAPL": 15_600, "AMD": 11_500, "SIM-BOND": 31_500, "SIM-BTC": 9_500, "SIM-ETH": 3_900}
    return PortfolioDraft(
        name="Crypto tilt",
        model=GROWTH,
        policy=_policy(
            Band(BandKind.RELATIVE, relative=Decimal(20), floor=Decimal(1), cap=Decimal(6)),
            alert_on_warning=True,
            auto_propose=True,
            cooldown_s=30 * DAY_S,
            price_move_limit=Decimal(15),
            twap_horizon_s=DAY_S,
            twap_interval_s=DAY_S // 6,
            short_term_rate=Decimal(24),
            long_term_rate=Decimal(15),
        ),
        # In one account, so that its cash makes up for what prices do between a plan and its orders.
        accounts=(desk.account("Brokerage", AccountKind.TAXABLE, held, cash=8_000),),
        targets=(
            _target("15", "SIM-BTC", "SIM-ETH", key="Crypto"),
            _target("20", "AAPL"),
            _target("15", "AMD"),
            _target("40", "SIM-BOND"),
            _target("10", key=CASH),
        ),
    )


def _retirement(desk: Desk) -> PortfolioDraft:
    """Factor ETFs in accounts without tax, absolute bands, no sleeve of cash: the calm one."""
    deferred = {"MTUM": 40_000, "QUAL": 80_000, "SIM-BOND": 120_000}
    exempt = {"MTUM": 40_000, "USMV": 60_000, "SIZE": 40_000, "SIM-TBILL": 20_000}
    return PortfolioDraft(
        name="Retirement",
        model="Factors",
        policy=_policy(Band(BandKind.ABSOLUTE, absolute=Decimal("1.5")), cash_buffer=Decimal("0.5")),
        accounts=(
            desk.account("Rollover IRA", AccountKind.TAX_DEFERRED, deferred, cash=2_400),
            desk.account("Roth IRA", AccountKind.TAX_EXEMPT, exempt, cash=1_600),
        ),
        targets=(
            _target("20", "MTUM"),
            _target("20", "QUAL"),
            _target("15", "USMV"),
            _target("10", "SIZE"),
            _target("30", "SIM-BOND"),
            _target("5", "SIM-TBILL", band=Band(BandKind.RELATIVE, relative=Decimal(40))),
        ),
    )


def _staples_with_idle_cash(desk: Desk) -> PortfolioDraft:
    """An eighth of it is cash that no target asks for: what a cash-flow plan invests.

    Two bands rest on more than the target: on the volatility of the past quarter, and on costs. One is
    so tight that within the first minute of the replay an alert about it opens and is over again.
    """
    own = {"KO": VOLATILE, "PEP": Band(BandKind.COST), "WMT": TIGHT}
    held = {"KO": 17_500, "PEP": 17_500, "WMT": 17_500, "PG": 17_500}
    return PortfolioDraft(
        name="Staples with idle cash",
        policy=_policy(SMART, allow_sells=False),
        accounts=(desk.account("Savings", AccountKind.TAXABLE, held, cash=10_000),),
        targets=tuple(_target("25", symbol, band=own.get(symbol)) for symbol in held),
    )


def _value_at_a_loss(desk: Desk) -> PortfolioDraft:
    """Lots of General Electric and Range Resources that cost far more than they are worth, and still fall."""
    high = {"GE": 27_000, "RRC": 9_000}
    even = {"XOM": 36_000, "CVX": 36_000, "BAC": 27_000, "BBY": 18_000, "VLUE": 27_000}
    return PortfolioDraft(
        name="Value at a loss",
        model=VALUE,
        policy=_policy(
            Band(BandKind.RELATIVE, relative=Decimal(15), floor=Decimal(1), cap=Decimal(4)),
            lot_method=LotMethod.HIFO,
            short_term_rate=Decimal(35),
            long_term_rate=Decimal(15),
        ),
        accounts=(
            desk.account("Individual", AccountKind.TAXABLE, high, cash=1_800, bought=BOUGHT_HIGH),
            desk.account("Joint", AccountKind.TAXABLE, even),
        ),
        targets=(
            _target("15", "GE"),
            _target("5", "RRC"),
            _target("20", "XOM"),
            _target("20", "CVX"),
            _target("15", "BAC"),
            _target("10", "BBY"),
            _target("15", "VLUE"),
        ),
    )


def _europa(desk: Desk) -> PortfolioDraft:
    """Valued in euro with most of it in dollars: the rate alone makes it drift."""
    held = {"SIM-EURBOND": 48_000, "USMV": 24_000, "MSFT": 18_000, "KO": 18_000}
    return PortfolioDraft(
        name="Europa",
        base_currency="EUR",
        policy=_policy(Band(BandKind.ABSOLUTE, absolute=Decimal(2)), alert_after=2, recover_after=2),
        accounts=(desk.account("Depot", AccountKind.TAXABLE, held, cash=12_000, base="EUR"),),
        targets=(
            _target("40", "SIM-EURBOND"),
            _target("20", "USMV"),
            _target("15", "MSFT"),
            _target("15", "KO"),
            _target("10", key=CASH),
        ),
    )


def _inherited(desk: Desk) -> PortfolioDraft:
    """Far off from the first day, with a holding that no target names: what a first plan is for."""
    held = {"JNJ": 40_500, "MRK": 9_000, "UNH": 13_500, "VLUE": 9_000, "SIZE": 9_000}
    return PortfolioDraft(
        name="Inherited",
        model=VALUE,
        policy=_policy(
            HYBRID, destination=Destination.BAND_EDGE, short_term_rate=Decimal(32), long_term_rate=Decimal(15)
        ),
        accounts=(desk.account("Inheritance", AccountKind.TAXABLE, held, cash=9_000),),
        targets=(
            _target("20", "JNJ"),
            _target("30", "UNH", "LLY", key="Health"),
            _class_target("40", AssetClass.ETF, "Funds"),
            _target("10", key=CASH),
        ),
    )
