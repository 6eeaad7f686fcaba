"""The schema's inputs of portfolios and their policies."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from decimal import Decimal
from typing import Any, Final

import strawberry
from strawberry import ID, UNSET

from app.api.inputs import AccountInput, TargetEntryInput, ToleranceBandInput, _at, _each, target_drafts
from app.api.inputs_execution import ExecutionRulesInput
from app.api.scalars import CurrencyCode, Duration, Percent
from app.core import document_policy, execution_rules, scalars
from app.core.bands import Destination
from app.core.drafts import AccountDraft, PortfolioDraft, check_accounts, model_name
from app.core.errors import InvalidInput
from app.core.policy import LotMethod, Objective, Policy, TaxRegime, WashRule
from app.core.portfolio import AssetClass, PortfolioStatus

field = strawberry.field


@strawberry.input(description="How long prices of one class may be used.")
class PriceAgeInput:
    asset_class: AssetClass = field(description="Class of the assets.")
    age: Duration = field(description="Longest age of a price.")


@strawberry.input(
    description="Changes to a policy; absent fields stay as they are. Null ends portfolioBand, driftPrice, "
    "maxTurnover, taxBudget, improvement and priceMoveLimit, and is refused elsewhere."
)
class RebalancePolicyInput(ExecutionRulesInput):
    default_band: ToleranceBandInput | None = field(default=UNSET, description="Band of targets that give none.")
    warn_at: Percent | None = field(default=UNSET, description="Share of a band from which the status is WARNING.")
    alert_on_warning: bool | None = field(default=UNSET, description="True to open alerts at WARNING already.")
    alert_after: int | None = field(
        default=UNSET, description="Scan buckets in a row before a drift is alerted, 1..1000."
    )
    recover_after: int | None = field(default=UNSET, description="Scan buckets in a row before it is over, 1..1000.")
    portfolio_band: Percent | None = field(
        default=UNSET,
        description="Share of the base that would have to change hands before the portfolio as a whole is alerted; "
        "null for no such limit.",
    )
    remind_after: Duration | None = field(
        default=UNSET, description="Silence after an alert was told before it is told again; 0 is for ever."
    )
    max_price_age: list[PriceAgeInput] | None = field(
        default=UNSET, description="How long a price may be used; classes not named stay as they are."
    )
    destination: Destination | None = field(default=UNSET, description="Where trades aim.")
    band_kept: Percent | None = field(default=UNSET, description="Share of the band that SHARE leaves.")
    min_trade: Decimal | None = field(default=UNSET, description="Trades worth less, in the base currency, are dust.")
    max_fee: Percent | None = field(default=UNSET, description="Trades whose fee is a larger share are left out.")
    cash_buffer: Percent | None = field(default=UNSET, description="Cash to leave uninvested.")
    allow_sells: bool | None = field(default=UNSET, description="False to rebalance with cash only.")
    lot_method: LotMethod | None = field(default=UNSET, description="Which lots a sale takes first.")
    short_term_rate: Percent | None = field(default=UNSET, description="Tax rate of short-term gains.")
    long_term_rate: Percent | None = field(default=UNSET, description="Tax rate of long-term gains.")
    plan_lifetime: Duration | None = field(default=UNSET, description="How long a plan is good after it was made.")
    risk_aversion: Decimal | None = field(
        default=UNSET, description="How much variance is disliked, 0.1 to 1000; for bands of kind COST."
    )
    auto_propose: bool | None = field(
        default=UNSET, description="True to propose a plan when a breach opens; it is never executed by itself."
    )
    cooldown: Duration | None = field(
        default=UNSET, description="Least time between two plans that are proposed by themselves."
    )
    objective: Objective | None = field(default=UNSET, description="What weighs more: drift, or costs and tax.")
    drift_price: Decimal | None = field(
        default=UNSET,
        description="What one unit of money off target costs, above 0 and at most 1000; null for that of `objective`.",
    )
    tax_regime: TaxRegime | None = field(default=UNSET, description="Rules that gains and losses follow.")
    wash_rule: WashRule | None = field(
        default=UNSET, description="What becomes of a purchase that would wash a recent loss."
    )
    crypto_washes: bool | None = field(default=UNSET, description="True to apply the wash-sale rule to CRYPTO too.")
    loss_credit: Percent | None = field(
        default=UNSET, description="Share of a loss's tax that counts as saved; the gain later is higher."
    )
    yearly_loss_cap: Decimal | None = field(
        default=UNSET, description="How much net loss offsets other income in a year, in the base currency."
    )
    min_harvest: Decimal | None = field(
        default=UNSET, description="Smallest loss, in the base currency, worth harvesting."
    )
    min_harvest_share: Percent | None = field(
        default=UNSET, description="Smallest loss worth harvesting, as a share of the basis of what is sold."
    )
    max_turnover: Percent | None = field(
        default=UNSET,
        description="Half the traded value of one plan, at most this share of the base; null for no limit.",
    )
    tax_budget: Decimal | None = field(
        default=UNSET, description="Largest tax, in the base currency, that one plan may realise; null for no limit."
    )
    improvement: Percent | None = field(
        default=UNSET,
        description="Keep a trade only if it leaves the drift of its sleeve at or below this share of what it was; "
        "null for no limit.",
    )
    no_buy: list[str] | None = field(default=UNSET, description="Symbols that are never bought; at most 500.")
    no_sell: list[str] | None = field(default=UNSET, description="Symbols that are never sold; at most 500.")

    def apply(self, policy: Policy) -> Policy:
        """Return the policy with the given fields changed."""
        given = {name: value for name, value in vars(self).items() if value is not UNSET}
        for name, value in given.items():
            if value is None and name not in _ENDED_BY_NULL:
                raise InvalidInput(f"{_camel(name)} is null; leave it out to keep it", [_camel(name)])
        changes: dict[str, Any] = {name: value for name, value in given.items() if name in _SAME or value is None}
        for name in given.keys() & _READ.keys() - changes.keys():
            changes[name] = _at(_camel(name), lambda name=name: _READ[name](given[name], _camel(name)))
        if "default_band" in given:
            changes["default_band"] = _at("defaultBand", given["default_band"].to_core)
        if "max_price_age" in given:
            ages = {item.asset_class: item.age for item in given["max_price_age"]}
            changes["max_price_age_s"] = {**policy.max_price_age_s, **ages}
        if "band_kept" in given:
            changes["band_kept"] = given["band_kept"].scaleb(-2)
        if "styles" in given:
            styles = [(item.asset_class, item.style) for item in given["styles"]]
            changes["styles"] = execution_rules.styles_of(styles)
        for name in ("remind_after", "plan_lifetime", "cooldown", "twap_horizon", "twap_interval", "reprice_after"):
            if name in given:
                changes[f"{name}_s"] = given[name]
        for name in ("alert_after", "recover_after"):
            if name in given and not 1 <= given[name] <= 1000:
                raise InvalidInput(f"{_camel(name)} is {given[name]}; it must be from 1 to 1000", [_camel(name)])
        return execution_rules.check(replace(policy, **changes))

    def apply_at(self, *path: str) -> Callable[[Policy], Policy]:
        """Return the change as a function, for when the policy is known; errors are put under `path`."""
        return lambda policy: _at(path, lambda: self.apply(policy))


_SAME = {
    "warn_at",
    "alert_on_warning",
    "alert_after",
    "recover_after",
    "portfolio_band",
    "auto_propose",
    "destination",
    "max_fee",
    "cash_buffer",
    "allow_sells",
    "lot_method",
    "short_term_rate",
    "long_term_rate",
    *("objective", "tax_regime", "wash_rule", "crypto_washes", "loss_credit", "min_harvest_share", "max_turnover"),
    "improvement",
    *("volatility_limit", "participation_limit", "collar_min", "collar_max", "reprices", "price_move_limit"),
    "four_eyes",
}
_READ: Final[Mapping[str, Callable[[Any, str], object]]] = {
    "min_trade": scalars.money,
    "risk_aversion": scalars.risk_aversion,
    "drift_price": scalars.drift_price,
    "yearly_loss_cap": scalars.money,
    "min_harvest": scalars.money,
    "tax_budget": scalars.money,
    "no_buy": lambda value, _: document_policy.read_symbols(value),
    "no_sell": lambda value, _: document_policy.read_symbols(value),
    "collar_days": scalars.collar_days,
}
_ENDED_BY_NULL = {"portfolio_band", "drift_price", "max_turnover", "tax_budget", "improvement", "price_move_limit"}


@strawberry.input(description="What a new portfolio is made of.")
class PortfolioCreateInput:
    name: str = field(description="Name.")
    base_currency: CurrencyCode = field(
        default=CurrencyCode("USD"), description="Currency in which values are reported."
    )
    accounts: list[AccountInput] | None = field(
        default=None, description="Accounts; one empty taxable account called Main when absent."
    )
    targets: list[TargetEntryInput] | None = field(default=None, description="Targets; they can also be set later.")
    policy: RebalancePolicyInput | None = field(default=None, description="Policy; the defaults when absent.")
    model: str | None = field(
        default=None, description="Name of the model portfolio that it follows, 1 to 100 characters; null for none."
    )
    idempotency_key: str | None = field(
        default=None, description="Any text unique to this request; a repeat returns the first result again."
    )

    def to_core(self) -> PortfolioDraft:
        name = _at("name", lambda: scalars.text(self.name, "name"))
        policy = _at("policy", lambda: self.policy.apply(Policy()) if self.policy else Policy())
        accounts = (AccountDraft("Main"),)
        if self.accounts is not None:
            accounts = _each(self.accounts, lambda item: item.to_core(self.base_currency), "accounts")
            _at("accounts", lambda: check_accounts(accounts))
        targets = None if self.targets is None else target_drafts(self.targets, "targets")
        model = None if self.model is None else _at("model", lambda: model_name(self.model))
        return PortfolioDraft(name, self.base_currency, policy, accounts, targets, model)


@strawberry.input(description="What to change of a portfolio; absent fields stay as they are.")
class PortfolioUpdateInput:
    portfolio_id: ID = field(description="Global id of the portfolio.")
    expected_version: int | None = field(default=None, description="Version that was read, to avoid lost updates.")
    name: str | None = field(default=None, description="New name.")
    status: PortfolioStatus | None = field(default=None, description="New status.")
    policy: RebalancePolicyInput | None = field(default=None, description="Changes to the policy.")
    model: str | None = field(
        default=UNSET,
        description="Name of the model portfolio that it follows from now on, 1 to 100 characters; null takes it away. "
        "Plans stay as they are.",
    )

    def checked_name(self) -> str | None:
        return None if self.name is None else _at("name", lambda: scalars.text(self.name, "name"))

    def checked_model(self) -> str | None:
        """Return the model to follow, empty for none, None where it stays."""
        if self.model is UNSET:
            return None
        return "" if self.model is None else _at("model", lambda: model_name(self.model))


def _camel(name: str) -> str:
    head, *tail = name.split("_")
    return head + "".join(part.title() for part in tail)
