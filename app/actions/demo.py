"""The demo: real prices replayed by a fast clock, and three owners whose portfolios really drift.

One day passes in `DAY_S` seconds of the wall clock. Prices go the way every price goes, `record_prices`.
"""

import asyncio
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Final

import structlog

from app.actions import access, demo_portfolios, demo_prices, hooks, market, portfolios
from app.actions.demo_prices import FIRST_DAY, LAST_DAY, PriceSeries
from app.actions.market import PriceDraft
from app.context import OPERATOR, Context, Services, wall_now
from app.core.alerts import AlertSeverity
from app.core.hooks import HOOKS_MAX, HookEvent, HookKind
from app.store import clock
from app.store.assets import find_assets
from app.store.clock import Clock

DAY_S: Final = 5
RATE: Final = Decimal(86_400 // DAY_S)
OPERATOR_NAME: Final = "operator"
LOOK_S: Final = 0.2
PAST: Final = timedelta(days=366)
RECEIVER_PATH: Final = "/demo"
"""Where the receiver of the demo is on its port; tells its webhooks from those that somebody adds."""

log = structlog.get_logger(__name__)


async def as_owner(services: Services, name: str) -> Context:
    """Return the context of a demo owner; the operator has the role too."""
    roles = frozenset({OPERATOR}) if name == OPERATOR_NAME else frozenset()
    issuer = services.settings.jwt_issuer
    return await access.enter(services, issuer=issuer, subject=name, tool=None, roles=roles)


@dataclass(frozen=True, slots=True)
class Prepared:
    """By owner: the first portfolio, and the secret of the webhook to the demo's receiver.

    `worked` is the portfolio whose plans the demo approves.
    """

    firsts: dict[str, str]
    secrets: dict[str, str]
    worked: str


async def prepare(services: Services, data: Path, receiver_url: str) -> Prepared:
    """Seed an empty database, or go on where the replay was; give each owner a webhook to the receiver."""
    demo_prices.fetch(data)
    last = await _last_priced(services)
    if last is None:
        await _set_clock(services, demo_prices.closed_at(FIRST_DAY), RATE)
        await _seed(services, data)
    else:
        await _set_clock(services, last, RATE)
    firsts, secrets, worked = {}, {}, ""
    for name in demo_portfolios.OWNERS:
        context = await as_owner(services, name)
        page = await portfolios.page(context, demo_portfolios.PORTFOLIOS_MAX, None)
        firsts[name] = page.items[0].row.public_id
        secrets[name] = await _hook_up(context, receiver_url)
        for item in page.items:
            if (name, item.row.name) == demo_portfolios.WORKED:
                worked = item.row.public_id
    return Prepared(firsts, secrets, worked)


async def _hook_up(context: Context, url: str) -> str:
    """Return the secret of the owner's webhook: made at the first start, given a new secret and URL at later ones."""
    known = (await hooks.page(context, HookKind.WEBHOOK, HOOKS_MAX, None)).items
    for hook in known:
        if hook.address.endswith(RECEIVER_PATH):
            await hooks.update_webhook(context, hook.id, url=url, enabled=True)
            return (await hooks.rotate_secret(context, hook.id))[1]
    _, secret = await hooks.create_webhook(context, url=url, events=list(HookEvent), least=AlertSeverity.INFO)
    assert secret is not None
    return secret


async def replay(services: Services, data: Path) -> None:
    """Record the prices of each day as the clock reaches its close; at the end the clock stands still."""
    series = demo_prices.load(data, FIRST_DAY, LAST_DAY)
    last = await _last_priced(services)
    for day, closes in demo_prices.frames(series):
        at = demo_prices.closed_at(day)
        if last is not None and at <= last:
            continue
        await _wait_until(services, at)
        await _record(services, series, closes, at)
    await _set_clock(services, demo_prices.closed_at(LAST_DAY), Decimal(0))
    log.info("replay_over", day=str(LAST_DAY))
    await asyncio.Event().wait()  # for ever: a process that ends is started again


async def _wait_until(services: Services, at: datetime) -> None:
    """Wait until the domain clock, a row that somebody may move, has reached an instant."""
    while await access.domain_now(services) < at:  # noqa: ASYNC110 - a row gives no event to wait for
        await asyncio.sleep(LOOK_S)


async def _seed(services: Services, data: Path) -> None:
    operator = await as_owner(services, OPERATOR_NAME)
    for asset in demo_prices.assets():
        await market.save_asset(operator, asset)
    history = demo_prices.load(data, min(demo_portfolios.BOUGHT_HIGH), FIRST_DAY)
    await _record_past(operator, history)
    for name, drafts in demo_portfolios.portfolios(history, FIRST_DAY).items():
        context = await as_owner(services, name)
        for draft in drafts:
            await portfolios.create(context, draft)


async def _record_past(operator: Context, history: PriceSeries) -> None:
    """Record the closes of the year up to the first day, which volatilities and tracking errors rest on."""
    drafts = [
        PriceDraft(symbol, close, demo_prices.closed_at(day), history.sources[symbol])
        for day, closes in demo_prices.frames(history)
        if day > FIRST_DAY - PAST
        for symbol, close in closes.items()
    ]
    for start in range(0, len(drafts), market.PRICES_MAX):
        await market.record_prices(operator, drafts[start : start + market.PRICES_MAX])


async def _record(services: Services, series: PriceSeries, closes: dict[str, Decimal], at: datetime) -> None:
    operator = await as_owner(services, OPERATOR_NAME)
    drafts = [PriceDraft(symbol, close, at, series.sources[symbol]) for symbol, close in closes.items()]
    await market.record_prices(operator, drafts)


async def _last_priced(services: Services) -> datetime | None:
    """Return the instant of the latest demo price, None before the demo was seeded."""
    async with services.store.shared(reading=True) as tx:
        found = await find_assets(tx, "AAPL", 1)
    price = found[0][1] if found else None
    return price.priced_at if price else None


async def _set_clock(services: Services, domain: datetime, rate: Decimal) -> None:
    async with services.store.shared() as tx:
        await clock.set_clock(tx, Clock(wall_now(), domain, rate))
