"""What a policy says about execution, checked; and the portfolio file's form of it."""

from decimal import Decimal
from typing import Any, Final

from app.core import scalars
from app.core.errors import Duplicate, InvalidInput
from app.core.fields import Fields, read_bool
from app.core.money import plain
from app.core.policy import DAY_S, OrderStyle, Policy
from app.core.portfolio import AssetClass
from app.core.scalars import write_duration

MOST_SLICES: Final = 500  # of one order, each of them an order at the broker
MOST_COLLAR: Final = Decimal(50)  # percent; a limit farther off is none
MOST_REPRICES: Final = 100


def check(policy: Policy) -> Policy:
    """Return the policy if its rules of execution can be kept; else raise InvalidInput with the field and why."""
    horizon, interval = policy.twap_horizon_s, policy.twap_interval_s
    if interval < 1:
        raise InvalidInput("twapInterval is PT0S; it must be at least PT1S", ["twapInterval"])
    if horizon > DAY_S:
        raise InvalidInput(f"twapHorizon is {write_duration(horizon)}; at most P1D is allowed", ["twapHorizon"])
    if horizon // interval >= MOST_SLICES:
        raise InvalidInput(
            f"a slice every {write_duration(interval)} for {write_duration(horizon)} makes {horizon // interval + 1} "
            f"slices; at most {MOST_SLICES} are allowed: lengthen twapInterval or shorten twapHorizon",
            ["twapInterval"],
        )
    if policy.collar_max > MOST_COLLAR:
        message = f"collarMax is {plain(policy.collar_max)}; at most {plain(MOST_COLLAR)} is allowed"
        raise InvalidInput(message, ["collarMax"])
    if policy.collar_min > policy.collar_max:
        raise InvalidInput(
            f"collarMin {plain(policy.collar_min)} is above collarMax {plain(policy.collar_max)}; lower the one or "
            "raise the other",
            ["collarMin"],
        )
    if not 0 <= policy.reprices <= MOST_REPRICES:
        raise InvalidInput(f"reprices is {policy.reprices}; it must be from 0 to {MOST_REPRICES}", ["reprices"])
    wrong = [kind for kind, style in policy.styles.items() if style is OrderStyle.NAV and kind is not AssetClass.FUND]
    if wrong:
        raise InvalidInput(f"only a FUND is traded at net asset value, not {wrong[0].value}", ["styles"])
    return policy


def styles_of(pairs: list[tuple[AssetClass, OrderStyle]]) -> dict[AssetClass, OrderStyle]:
    """Return styles by class; a class given twice is refused with its place."""
    styles: dict[AssetClass, OrderStyle] = {}
    for place, (asset_class, style) in enumerate(pairs):
        if asset_class in styles:
            raise Duplicate(f"the style of {asset_class.value} is given twice", ["styles", place])
        styles[asset_class] = style
    return styles


def read(fields: Fields) -> dict[str, Any]:
    """Read the fields of a policy that are about execution, by their names in core; absent ones have the defaults."""
    default = Policy()

    def percent(name: str, otherwise: Decimal) -> Decimal:
        return fields.take(name, lambda value: scalars.percent(value, name), otherwise)

    def seconds(name: str, otherwise: int) -> int:
        return fields.take(name, lambda value: scalars.duration_s(value, name), otherwise)

    return {
        "styles": styles_of(list(fields.each("styles", _style) or ())),
        "twap_horizon_s": seconds("twapHorizon", default.twap_horizon_s),
        "twap_interval_s": seconds("twapInterval", default.twap_interval_s),
        "volatility_limit": percent("volatilityLimit", default.volatility_limit),
        "participation_limit": percent("participationLimit", default.participation_limit),
        "collar_days": fields.take("collarDays", scalars.collar_days, default.collar_days),
        "collar_min": percent("collarMin", default.collar_min),
        "collar_max": percent("collarMax", default.collar_max),
        "reprice_after_s": seconds("repriceAfter", default.reprice_after_s),
        "reprices": fields.take("reprices", _count, default.reprices),
        "price_move_limit": fields.ended(
            "priceMoveLimit", lambda value: scalars.percent(value, "priceMoveLimit"), default.price_move_limit
        ),
        "four_eyes": fields.take("fourEyes", read_bool, default.four_eyes),
    }


def write(policy: Policy) -> dict[str, Any]:
    """Write the fields of a policy that are about execution, as `read` reads them."""
    styles = [{"assetClass": kind.value, "style": style.value} for kind, style in policy.styles.items()]
    limit = policy.price_move_limit
    return {
        **({"styles": styles} if styles else {}),
        "twapHorizon": write_duration(policy.twap_horizon_s),
        "twapInterval": write_duration(policy.twap_interval_s),
        "volatilityLimit": plain(policy.volatility_limit),
        "participationLimit": plain(policy.participation_limit),
        "collarDays": plain(policy.collar_days),
        "collarMin": plain(policy.collar_min),
        "collarMax": plain(policy.collar_max),
        "repriceAfter": write_duration(policy.reprice_after_s),
        "reprices": policy.reprices,
        "priceMoveLimit": None if limit is None else plain(limit),
        "fourEyes": policy.four_eyes,
    }


def _style(item: object) -> tuple[AssetClass, OrderStyle]:
    fields = Fields(item)
    found = (
        fields.take("assetClass", lambda value: scalars.member(AssetClass, value, "assetClass")),
        fields.take("style", lambda value: scalars.member(OrderStyle, value, "style")),
    )
    fields.end()
    return found


def _count(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise InvalidInput(f"must be a whole number, not {str(value)[:20]!r}")
    return value
