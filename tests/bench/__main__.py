"""`make bench`: what the main journeys cost on real servers, CPU of this process, medians of 15 rounds; the optimiser's
figures beside their bars, and thousands of random problems that it and HiGHS must agree on."""

import asyncio
import json
import statistics
import sys
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from app import logs
from app.actions import access, drift, market, portfolios, scans
from app.actions.live import Hub
from app.actions.market import PriceDraft
from app.api.auth import Principal, Verifier
from app.api.graphql import Caller
from app.api.rest_answers import as_json
from app.api.schema import make_schema
from app.api.types_drift import Drift
from app.context import Context, Services, on_thread, open_services
from app.core import drift as core_drift
from app.core.drafts import AccountDraft, LotDraft, PortfolioDraft
from app.core.optimize import search
from app.core.optimize.allocate import PlanScope
from app.core.plan import PlanRequest, propose
from app.core.portfolio import Asset, AssetClass
from app.core.targets import TargetDraft
from app.embedded import Servers
from app.settings import Settings
from app.store import db
from tests.bench.figures import show_agreement, show_figures
from tests.builders import snapshot
from tests.conftest import embedded_settings, temporary_folder

ROUNDS = 15
SLEEVES = 12
PORTFOLIOS = 500
DRIFT_QUERY = (
    "query($id: ID!) { portfolio(id: $id) { drift { status maxAbsDrift value { amount } entries "
    "{ key target actual drift status band { lower upper } value { amount } toTarget { amount } } } } }"
)
TRACKING_QUERY = DRIFT_QUERY.replace("maxAbsDrift", "maxAbsDrift trackingError")
CLOSES = 365


def main() -> None:
    figures = {**core_figures(), **asyncio.run(service_figures())}
    width = max(map(len, figures))
    for name, figure in figures.items():
        print(f"{name:<{width}}  {figure}")
    search.warm()
    show_figures(with_highs=True)
    if show_agreement():
        sys.exit("the search and HiGHS differ")


def median_us(work: Callable[[], object]) -> float:
    """Return the median CPU time of `work` in microseconds."""
    taken = []
    for _ in range(ROUNDS):
        start = time.process_time_ns()
        work()
        taken.append((time.process_time_ns() - start) / 1000)
    return statistics.median(taken)


async def median_async_us(work: Callable[[], Awaitable[object]], times: int = 20) -> float:
    taken = []
    for _ in range(ROUNDS):
        start = time.process_time_ns()
        for _ in range(times):
            await work()
        taken.append((time.process_time_ns() - start) / 1000 / times)
    return statistics.median(taken)


def core_figures() -> dict[str, str]:
    figures = {}
    for sleeves in (SLEEVES, 200):
        held = ", ".join(f"{10 + place} S{place} @ {100 + place}.25" for place in range(sleeves))
        share = 100 // sleeves if sleeves <= 100 else 0
        wanted = {f"S{place}": str(share or "0.5") for place in range(sleeves)}
        rest = 100 - sum(float(percent) for percent in wanted.values())
        start = snapshot(f"{held}, 5000 cash", {**wanted, "CASH": f"{rest:g}"} if rest else wanted)
        measured = median_us(lambda: core_drift.measure(start))  # noqa: B023
        planned = median_us(lambda: propose(start, PlanRequest(PlanScope.FULL)))  # noqa: B023
        figures[f"measure, {sleeves} sleeves"] = f"{measured:,.0f} us"
        figures[f"propose FULL, {sleeves} sleeves"] = f"{planned:,.0f} us"
    return figures


async def service_figures() -> dict[str, str]:
    with temporary_folder() as folder, Servers(embedded_settings(folder), fsync=False) as servers:
        await db.migrate(servers.endpoints.migrate_database_url)
        settings = Settings().model_copy(
            update={
                "database_url": servers.endpoints.database_url,
                "redis_url": servers.endpoints.redis_url,
                "jwt_secret": "0123456789abcdefghijklmnopqrstuvwxyz-bench",
                "scan_chunk_portfolios": PORTFOLIOS,
                "log_level": "WARNING",
            }
        )
        logs.configure(settings)
        async with open_services(settings, on_thread) as services:
            return {**await query_figures(services), **await scan_figures(services)}


async def query_figures(services: Services) -> dict[str, str]:
    context = await seed(services)
    portfolio_id = (await portfolios.page(context, 1, None)).items[0].row.public_id
    schema, hub = make_schema(), Hub(services)
    principal = Principal("steelyard", "bench", frozenset(), None, datetime(2999, 1, 1, tzinfo=UTC))

    async def statements() -> object:
        return await portfolios.find(context, portfolio_id)

    async def rest() -> object:
        return json.dumps(as_json(Drift.of(await drift.measure(context, portfolio_id))))

    async def graphql(query: str = DRIFT_QUERY) -> object:
        caller = Caller(services, Verifier(services.settings), hub, principal=principal)
        answer = await schema.execute(query, variable_values={"id": portfolio_id}, context_value=caller)
        assert answer.errors is None, answer.errors
        return json.dumps(answer.data)

    async def tracking() -> object:
        return await graphql(TRACKING_QUERY)

    loaded, plain, full, tracked = [await median_async_us(work) for work in (statements, rest, graphql, tracking)]
    return {
        "snapshot from PostgreSQL, 12 sleeves": f"{loaded:,.0f} us",
        "drift over REST, without the web server": f"{plain:,.0f} us, {plain / loaded:.2f} x the snapshot",
        "drift over GraphQL, without the web server": f"{full:,.0f} us, {full / plain:.2f} x REST",
        f"the same with the tracking error, {CLOSES} closes each": f"{tracked:,.0f} us, {tracked / full:.2f} x",
    }


async def scan_figures(services: Services) -> dict[str, str]:
    context = await access.enter(services, issuer="steelyard", subject="bench", tool=None, roles=frozenset())
    draft = portfolio_draft()
    for _ in range(PORTFOLIOS - 1):
        await portfolios.create(context, draft)
    bucket = await scans.tick(services)
    assert bucket
    start = time.process_time_ns()
    await scans.measure_chunk(services, bucket.strftime("%Y-%m-%dT%H:%M:%SZ"), 0)
    taken = (time.process_time_ns() - start) / 1000
    return {f"scan of {PORTFOLIOS} portfolios in one chunk": f"{taken / PORTFOLIOS:,.0f} us a portfolio"}


def portfolio_draft() -> PortfolioDraft:
    lots = tuple(LotDraft(f"B{place}", Decimal(10 + place), Decimal(90)) for place in range(SLEEVES))
    shares = [TargetDraft(Decimal(8), key=f"B{place}") for place in range(SLEEVES - 1)]
    targets = (*shares, TargetDraft(Decimal(12), key=f"B{SLEEVES - 1}"))
    return PortfolioDraft(
        "Bench", accounts=(AccountDraft("Main", cash={"USD": Decimal(1000)}, lots=lots),), targets=targets
    )


def closes_of(place: int, now: datetime) -> list[PriceDraft]:
    """Return prices of the days before: each asset goes up and down at a pace of its own."""
    return [
        PriceDraft(f"B{place}", Decimal(100 + place + day % (place + 2)), now - timedelta(days=day), "bench")
        for day in range(1, CLOSES + 1)
    ]


async def seed(services: Services) -> Context:
    roles = frozenset({"operator"})
    operator = await access.enter(services, issuer="steelyard", subject="bench", tool=None, roles=roles)
    for place in range(SLEEVES):
        await market.save_asset(operator, Asset("", f"B{place}", AssetClass.STOCK, "USD", name=f"B{place}"))
    prices = [PriceDraft(f"B{place}", Decimal(100 + place), None, "bench") for place in range(SLEEVES)]
    await market.record_prices(operator, prices)
    for place in range(SLEEVES):
        await market.record_prices(operator, closes_of(place, operator.now))
    await portfolios.create(operator, portfolio_draft())
    return replace(operator, roles=frozenset())


if __name__ == "__main__":
    main()
