"""The schema's type of what a policy says about execution."""

from decimal import Decimal
from typing import Any

import strawberry

from app.api.scalars import Duration, Percent
from app.core.policy import OrderStyle, Policy
from app.core.portfolio import AssetClass

field = strawberry.field


@strawberry.type(description="How orders in assets of one class are worked.")
class ClassStyle:
    asset_class: AssetClass = field(description="Class of the assets.")
    style: OrderStyle = field(description="How their orders are worked.")


@strawberry.type
class ExecutionRules:
    """The fields of a policy that are about execution; the type of the policy is made of them too."""

    styles: list[ClassStyle] = field(
        description="Classes whose orders are worked in one way, whatever their volatility and size."
    )
    twap_horizon: Duration = field(description="Time over which a TWAP is spread.")
    twap_interval: Duration = field(description="Time between two slices of a TWAP.")
    volatility_limit: Percent = field(description="Volatility a year above which a limit order becomes a TWAP.")
    participation_limit: Percent = field(
        description="Share of a day's volume above which a limit order becomes a TWAP."
    )
    collar_days: Decimal = field(description="A limit is so many days' volatility off the last price.")
    collar_min: Percent = field(description="Least distance of a limit from the last price.")
    collar_max: Percent = field(description="Widest distance of a limit from the last price.")
    reprice_after: Duration = field(
        description="Time after which a limit order that is not filled is cancelled and the rest priced anew; PT0S is "
        "for never."
    )
    reprices: int = field(description="How often an order is priced anew at most.")
    price_move_limit: Percent | None = field(
        description="How far a price may have moved since a plan was made for it to be approved; null for no limit."
    )
    four_eyes: bool = field(description="True to have plans approved by somebody else than who asked for them.")


def rules_of(policy: Policy) -> dict[str, Any]:
    """Return the values of these fields."""
    limit = policy.price_move_limit
    return {
        "styles": [ClassStyle(asset_class=kind, style=style) for kind, style in policy.styles.items()],
        "twap_horizon": Duration(policy.twap_horizon_s),
        "twap_interval": Duration(policy.twap_interval_s),
        "volatility_limit": Percent(policy.volatility_limit),
        "participation_limit": Percent(policy.participation_limit),
        "collar_days": policy.collar_days,
        "collar_min": Percent(policy.collar_min),
        "collar_max": Percent(policy.collar_max),
        "reprice_after": Duration(policy.reprice_after_s),
        "reprices": policy.reprices,
        "price_move_limit": None if limit is None else Percent(limit),
        "four_eyes": policy.four_eyes,
    }
