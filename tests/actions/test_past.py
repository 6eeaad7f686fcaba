"""What is told of the past reaches the next plan: that of all the owner's portfolios, and of nobody else's."""

from collections.abc import AsyncIterator
from datetime import timedelta
from decimal import Decimal

import pytest

from app.actions import access, making, market, portfolios, transactions
from app.actions.market import PriceDraft
from app.context import OPERATOR, Context, Watch, on_thread, open_services
from app.core.drafts import AccountDraft, LotDraft, PortfolioDraft, TransactionDraft
from app.core.optimize.allocate import PlanScope
from app.core.plan import PlanRequest
from app.core.portfolio import Asset, AssetClass
from app.core.targets import TargetDraft
from app.core.tax import TaxFacts
from app.core.trades import TradeSide
from app.embedded import Endpoints
from app.settings import Settings
from app.store import inputs


@pytest.fixture
async def alice(database: Endpoints, redis_url: str) -> AsyncIterator[Context]:
    """Give an owner beside whom there is AAA at 100."""
    settings = Settings().model_copy(update={"database_url": database.database_url, "redis_url": redis_url})
    async with open_services(settings, on_thread) as services:
        alice = await access.enter(services, issuer="test", subject="alice", tool=None, roles=frozenset({OPERATOR}))
        await market.save_asset(alice, Asset("", "AAA", AssetClass.STOCK, "USD"))
        await market.record_prices(alice, [PriceDraft("AAA", Decimal(100), None, "test")])
        yield alice


async def bob_beside(alice: Context) -> Context:
    return await access.enter(alice, issuer="test", subject="bob", tool=None, roles=frozenset())


async def create(context: Context, *lots: LotDraft) -> tuple[str, str]:
    """Create a portfolio that wants AAA only; return its id and that of its account."""
    draft = PortfolioDraft(
        "P",
        accounts=(AccountDraft("Main", cash={"USD": Decimal(9)}, lots=lots),),
        targets=(TargetDraft(Decimal(100), "AAA"),),
    )
    made = await portfolios.create(context, draft)
    return made.row.public_id, made.snapshot.portfolio.accounts[0].id


async def tell(context: Context, account_id: str, side: TradeSide, units: int, price: int, days_ago: int) -> None:
    day = context.now.date() - timedelta(days=days_ago)
    draft = TransactionDraft(day, "", side, "AAA", Decimal(units), Decimal(price), Decimal(0))
    await transactions.record_for_account(context, account_id, [draft], None, f"{side} {units} {days_ago}")


async def known(context: Context, portfolio_id: str) -> TaxFacts:
    async with context.store.owned(context.owner_id, reading=True) as tx:
        loaded, told = await making.load(context.owner_id, tx, portfolio_id, context.now)
    _, pinned = making.search_told(loaded.snapshot, told, PlanRequest(PlanScope.FULL), 10.0, watch=Watch())
    return inputs.unpack(pinned.packed).snapshot.tax


async def test_loss_in_one_portfolio_is_known_to_a_plan_of_the_other_and_not_to_a_stranger(alice: Context) -> None:
    mine, _ = await create(alice)
    _, second = await create(alice)
    bob = await bob_beside(alice)
    theirs, _ = await create(bob)
    await tell(alice, second, TradeSide.BUY, 10, 100, 400)
    await tell(alice, second, TradeSide.SELL, 10, 90, 5)
    for portfolio_id, context, losses in ((mine, alice, 1), (theirs, bob, 0)):
        assert len((await known(context, portfolio_id)).losses) == losses
    [loss] = (await known(alice, mine)).losses
    assert (loss.quantity, loss.loss_per_unit) == (Decimal(10), Decimal(10))
    await tell(bob, (await create(bob))[1], TradeSide.BUY, 10, 90, 4)
    assert len((await known(alice, mine)).losses) == 1
    await tell(alice, second, TradeSide.BUY, 10, 90, 4)
    assert (await known(alice, mine)).losses == ()


async def test_lot_of_late_is_known_with_its_id_in_its_own_portfolio_only(alice: Context) -> None:
    week = alice.now.date() - timedelta(days=7)
    mine, _ = await create(alice, LotDraft("AAA", Decimal(3), Decimal(95), week))
    other, _ = await create(alice)
    [own], [elsewhere] = (await known(alice, mine)).buys, (await known(alice, other)).buys
    assert (own.quantity, own.bought_on) == (elsewhere.quantity, elsewhere.bought_on) == (Decimal(3), week)
    loaded = await portfolios.find(alice, mine)
    assert own.lot_id == loaded.snapshot.portfolio.accounts[0].lots[0].id
    assert not elsewhere.lot_id


async def test_only_plans_ask_for_the_past(alice: Context) -> None:
    mine, account = await create(alice)
    await tell(alice, account, TradeSide.BUY, 10, 90, 4)
    assert (await portfolios.find(alice, mine)).snapshot.tax == TaxFacts()
