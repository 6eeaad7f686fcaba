"""Alpaca's own client against a server on this machine: one order for each client id, exact fills, clear answers."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal

import pytest

from app.brokers import alpaca
from app.brokers.alpaca import AlpacaBroker
from app.brokers.protocol import BrokerUnavailable
from app.core.order_values import BrokerOrder, Fill, OrderStatus, OrderStyle, Ticket
from app.core.portfolio import AssetClass
from app.core.trades import TradeSide
from app.settings import Settings
from tests.brokers.alpaca import Alpaca, serving
from tests.builders import asset

pytest.importorskip("alpaca", reason="the extra `alpaca` is not installed")

SHARES = Ticket(
    *("pl_1-1-1", "ac_1", asset("AAPL"), TradeSide.BUY, Decimal("10"), OrderStyle.LIMIT, Decimal("150.10")),
)
COINS = Ticket(
    *("pl_1-2-1", "ac_1", asset("BTC"), TradeSide.SELL, Decimal("0.123456789"), OrderStyle.TWAP, None),
)
FIRST = "00000000-0000-0000-0000-0000000003e8"


@pytest.fixture
def server() -> Iterator[Alpaca]:
    with serving() as server:
        yield server


@pytest.fixture
def broker(server: Alpaca) -> AlpacaBroker:
    return broker_at(server.url)


def broker_at(url: str, **given: str) -> AlpacaBroker:
    usual = {"alpaca_key_id": "key", "alpaca_secret": "secret", "alpaca_account": "ac_1", "alpaca_url": url}
    return AlpacaBroker.of(Settings().model_copy(update={**usual, **given}))


def working(order_id: str = FIRST) -> BrokerOrder:
    return BrokerOrder(order_id, OrderStatus.WORKING)


async def test_order_is_sent_as_text_and_known_by_our_id(broker: AlpacaBroker, server: Alpaca) -> None:
    assert await broker.status(SHARES) is None
    assert await broker.place(SHARES) == working()
    assert await broker.status(SHARES) == working()
    await broker.place(COINS)
    assert server.sent == [
        {
            "symbol": "AAPL",
            "qty": "10",
            "side": "buy",
            "type": "limit",
            "time_in_force": "day",
            "client_order_id": "pl_1-1-1",
            "limit_price": "150.1",
        },
        {
            "symbol": "BTC/USD",
            "qty": "0.123456789",
            "side": "sell",
            "type": "market",
            "time_in_force": "gtc",
            "client_order_id": "pl_1-2-1",
        },
    ]


async def test_order_that_is_sent_twice_is_one(broker: AlpacaBroker, server: Alpaca) -> None:
    await broker.place(SHARES)
    server.fill("pl_1-1-1", "10", "150.05", status="filled", filled="10")
    again = await broker.place(SHARES)
    assert (again.status, [fill.quantity for fill in again.fills]) == (OrderStatus.FILLED, [Decimal(10)])
    assert (len(server.sent), len(server.orders)) == (2, 1)


async def test_order_whose_answer_was_lost_is_found(broker: AlpacaBroker, server: Alpaca) -> None:
    server.lost = True
    with pytest.raises(BrokerUnavailable, match="Alpaca answered 500"):
        await broker.place(SHARES)
    assert await broker.status(SHARES) == working()
    assert await broker.place(SHARES) == working()
    assert len(server.orders) == 1


async def test_fills_are_exact_and_only_its_own(broker: AlpacaBroker, server: Alpaca) -> None:
    await broker.place(SHARES)
    await broker.place(COINS)
    server.fill("pl_1-1-1", "4", "150.0512", status="partially_filled", filled="4")
    server.fill("pl_1-2-1", "0.123456789", "64123.456789", status="filled", filled="0.123456789")
    server.fill("pl_1-1-1", "6", "150.1", status="filled", filled="10")
    assert await broker.status(SHARES) == BrokerOrder(
        FIRST,
        OrderStatus.FILLED,
        (
            Fill(server.activities[0]["id"], Decimal(4), Decimal("150.0512"), Decimal(0), at(1)),
            Fill(server.activities[2]["id"], Decimal(6), Decimal("150.1"), Decimal(0), at(3)),
        ),
    )
    coins = await broker.status(COINS)
    assert coins
    assert [(fill.quantity, fill.price) for fill in coins.fills] == [(Decimal("0.123456789"), Decimal("64123.456789"))]


def at(second: int) -> datetime:
    return datetime(2024, 6, 3, 16, 0, second, 500_000, UTC)


async def test_fills_are_read_over_many_pages(broker: AlpacaBroker, server: Alpaca) -> None:
    await broker.place(replace(SHARES, quantity=Decimal(250)))
    for number in range(1, 251):
        server.fill(
            "pl_1-1-1", "1", "150", status="filled" if number == 250 else "partially_filled", filled=f"{number}"
        )
    told = await broker.status(SHARES)
    assert told
    assert (told.status, len({fill.broker_fill_id for fill in told.fills})) == (OrderStatus.FILLED, 250)


async def test_order_has_not_ended_before_all_its_fills_are_told(broker: AlpacaBroker, server: Alpaca) -> None:
    await broker.place(SHARES)
    server.fill("pl_1-1-1", "4", "150", status="partially_filled", filled="4")
    server.fill("pl_1-1-1", "6", "150", status="filled", filled="10", told=False)
    with pytest.raises(BrokerUnavailable, match="Alpaca filled 10 units, and has told of 4 so far"):
        await broker.status(SHARES)


@pytest.mark.parametrize(
    ("said", "status"),
    [
        ("new", OrderStatus.WORKING),
        ("pending_cancel", OrderStatus.WORKING),
        ("done_for_day", OrderStatus.WORKING),
        ("canceled", OrderStatus.CANCELLED),
        ("expired", OrderStatus.EXPIRED),
        ("rejected", OrderStatus.REJECTED),
    ],
)
async def test_status_is_told_in_our_words(
    broker: AlpacaBroker, server: Alpaca, said: str, status: OrderStatus
) -> None:
    await broker.place(SHARES)
    server.orders["pl_1-1-1"]["status"] = said
    assert await broker.status(SHARES) == BrokerOrder(FIRST, status)


async def test_order_that_somebody_replaced_there_is_not_guessed_at(broker: AlpacaBroker, server: Alpaca) -> None:
    await broker.place(SHARES)
    server.orders["pl_1-1-1"]["status"] = "replaced"
    with pytest.raises(BrokerUnavailable, match="was replaced by hand"):
        await broker.status(SHARES)


async def test_cancel_is_asked_for_and_one_that_is_over_stays(broker: AlpacaBroker, server: Alpaca) -> None:
    await broker.cancel(SHARES)  # never sent
    await broker.place(SHARES)
    await broker.cancel(SHARES)
    assert server.orders["pl_1-1-1"]["status"] == "pending_cancel"
    server.fill("pl_1-1-1", "10", "150", status="filled", filled="10")
    await broker.cancel(SHARES)
    assert server.orders["pl_1-1-1"]["status"] == "filled"
    assert [request for request in server.requests if request.startswith("DELETE")] == [f"DELETE /v2/orders/{FIRST}"]


async def test_cancel_that_comes_too_late_is_no_error(
    broker: AlpacaBroker, server: Alpaca, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is filled between the two calls."""
    await broker.place(SHARES)
    order = dict(server.orders["pl_1-1-1"])
    server.orders["pl_1-1-1"]["status"] = "filled"
    monkeypatch.setattr(broker, "_find", lambda _: order)
    await broker.cancel(SHARES)
    assert server.requests[-1] == f"DELETE /v2/orders/{FIRST}"


@pytest.mark.parametrize("status", [400, 403, 422])
async def test_order_that_is_refused_is_rejected_with_its_reason(
    broker: AlpacaBroker, server: Alpaca, status: int
) -> None:
    server.refuse = status, "insufficient buying power"
    rejected = BrokerOrder("", OrderStatus.REJECTED, (), "Alpaca: insufficient buying power")
    assert await broker.place(SHARES) == rejected


async def test_order_it_knows_but_does_not_show_is_not_called_rejected(broker: AlpacaBroker, server: Alpaca) -> None:
    server.refuse = 422, "client_order_id must be unique"
    with pytest.raises(BrokerUnavailable, match="knows pl_1-1-1, but does not show it yet"):
        await broker.place(SHARES)


@pytest.mark.parametrize(
    ("ticket", "message"),
    [
        (replace(SHARES, account_id="ac_2"), "Alpaca is not set up for this account"),
        (replace(SHARES, style=OrderStyle.NAV), "Alpaca takes no orders at net asset value"),
        (replace(SHARES, asset=asset("SAP", currency="EUR")), "Alpaca trades in USD, SAP is in EUR"),
    ],
)
async def test_what_it_cannot_trade_is_never_sent(
    broker: AlpacaBroker, server: Alpaca, ticket: Ticket, message: str
) -> None:
    assert await broker.place(ticket) == BrokerOrder("", OrderStatus.REJECTED, (), message)
    assert server.requests == []


async def test_positions_are_called_as_here(broker: AlpacaBroker, server: Alpaca) -> None:
    server.positions = [
        {"symbol": "AAPL", "qty": "10.5", "asset_class": "us_equity"},
        {"symbol": "BTCUSD", "qty": "0.1", "asset_class": "crypto"},
        {"symbol": "ETH/USD", "qty": "2", "asset_class": "crypto"},
    ]
    assert await broker.positions("ac_1") == {"AAPL": Decimal("10.5"), "BTC": Decimal("0.1"), "ETH": Decimal(2)}
    assert await broker.positions("ac_2") is None


@pytest.mark.parametrize("status", [401, 429, 500, 503, 504])
async def test_no_clear_answer_is_unavailable_and_asked_once(broker: AlpacaBroker, server: Alpaca, status: int) -> None:
    server.ill = status
    for asked in (broker.place(SHARES), broker.status(SHARES), broker.cancel(SHARES), broker.positions("ac_1")):
        with pytest.raises(BrokerUnavailable, match=f"Alpaca answered {status}"):
            await asked
    assert len(server.requests) == 4


async def test_wrong_keys_are_unavailable(server: Alpaca) -> None:
    with pytest.raises(BrokerUnavailable, match="Alpaca answered 401"):
        await broker_at(server.url, alpaca_secret="other").place(SHARES)


async def test_answer_that_takes_too_long_is_unavailable(server: Alpaca, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(alpaca, "TIMEOUT_S", 0.2)
    broker, server.hang_s = broker_at(server.url), 0.6
    with pytest.raises(BrokerUnavailable, match="Alpaca did not answer: ReadTimeout"):
        await broker.place(SHARES)
    server.hang_s = 0
    assert await broker.place(SHARES) == working()  # it came, or comes now: it is one
    assert len(server.orders) == 1


async def test_nobody_there_is_unavailable() -> None:
    with pytest.raises(BrokerUnavailable, match="Alpaca did not answer: ConnectionError"):
        await broker_at("http://127.0.0.1:9").status(SHARES)


async def test_without_keys_it_says_what_is_missing() -> None:
    with pytest.raises(BrokerUnavailable, match="STEELYARD_ALPACA_KEY_ID and STEELYARD_ALPACA_SECRET are empty"):
        await broker_at("http://127.0.0.1:9", alpaca_key_id="").status(SHARES)


def test_coins_and_shares_are_told_apart() -> None:
    assert (SHARES.asset.asset_class, COINS.asset.asset_class) == (AssetClass.STOCK, AssetClass.CRYPTO)
