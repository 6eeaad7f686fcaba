"""The schema's input of what a policy says about execution."""

from decimal import Decimal

import strawberry
from strawberry import UNSET

from app.api.scalars import Duration, Percent
from app.core.policy import OrderStyle
from app.core.portfolio import AssetClass

field = strawberry.field


@strawberry.input(description="How orders in assets of one class are worked.")
class ClassStyleInput:
    asset_class: AssetClass = field(description="Class of the assets.")
    style: OrderStyle = field(description="How their orders are worked; NAV is for FUND only.")


@strawberry.input(description="Changes to what a policy says about execution.")
class ExecutionRulesInput:
    styles: list[ClassStyleInput] | None = field(
        default=UNSET,
        description="Classes whose orders are worked in one way, whatever their volatility and size; replaces those "
        "named before.",
    )
    twap_horizon: Duration | None = field(
        default=UNSET, description="Time over which a TWAP is spread, at most P1D; there are at most 500 slices."
    )
    twap_interval: Duration | None = field(
        default=UNSET, description="Time between two slices of a TWAP, PT1S or longer."
    )
    volatility_limit: Percent | None = field(
        default=UNSET, description="Volatility a year above which a limit order becomes a TWAP."
    )
    participation_limit: Percent | None = field(
        default=UNSET, description="Share of a day's volume above which a limit order becomes a TWAP."
    )
    collar_days: Decimal | None = field(
        default=UNSET, description="A limit is so many days' volatility off the last price; 0 to 30."
    )
    collar_min: Percent | None = field(
        default=UNSET, description="Least distance of a limit from the last price; at most `collarMax`."
    )
    collar_max: Percent | None = field(
        default=UNSET, description="Widest distance of a limit from the last price; at most 50."
    )
    reprice_after: Duration | None = field(
        default=UNSET,
        description="Time after which a limit order that is not filled is cancelled and the rest priced anew; PT0S is "
        "for never.",
    )
    reprices: int | None = field(default=UNSET, description="How often an order is priced anew at most, 0..100.")
    price_move_limit: Percent | None = field(
        default=UNSET,
        description="How far a price may have moved since a plan was made for it to be approved; null for no limit.",
    )
    four_eyes: bool | None = field(
        default=UNSET, description="True to have plans approved by somebody else than who asked for them."
    )
