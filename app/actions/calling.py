"""Calling brokers: what is sent to them, an order or a block, and how it stands after what they answer."""

import asyncio
from collections.abc import Mapping
from datetime import datetime
from typing import Final, TypeVar

import structlog

from app.brokers.protocol import Broker, BrokerUnavailable
from app.core.answering import answered, contradicted, excess_of, unanswered
from app.core.desk import Act
from app.core.money import plain
from app.core.order_values import BrokerKind, BrokerOrder, Sent
from app.store.db import StoreUnavailable

CALL_S: Final = 5.0
"""Longest wait for a broker's answer: well below the lease of what is sent."""

Brokers = Mapping[BrokerKind, Broker]

Answer = BrokerOrder | str | None
"""What a broker says of an order, None when it certainly never got it, a sentence where it is not clear."""

S = TypeVar("S", bound=Sent)

log = structlog.get_logger(__name__)


async def call(act: Act, sent: Sent, brokers: Brokers) -> Answer:
    """Tell or ask the broker of what is sent."""
    broker = brokers.get(sent.broker)
    if broker is None:
        return f"no broker of the kind {sent.broker.value} is set up here"
    try:
        async with asyncio.timeout(CALL_S):
            if act is Act.PLACE:
                return await broker.place(sent.ticket)
            if sent.cause or act is Act.CANCEL:
                await broker.cancel(sent.ticket)
            return await broker.status(sent.ticket)
    except (BrokerUnavailable, TimeoutError) as error:
        return f"the broker gave no answer: {error}" if str(error) else "the broker gave no answer"
    except StoreUnavailable:
        raise
    except Exception:  # our mistake, or the broker's language has changed: it is not known what it understood
        log.exception("broker_failed", order=sent.client_id, act=act.value)
        return "the answer of the broker could not be understood; the worker's log says more"


def after(sent: S, answer: Answer, now: datetime, wall: datetime) -> S:
    """Return what was sent as it is after an answer; what is filled of it is booked by others."""
    if isinstance(answer, str):
        return unanswered(sent, answer, wall)
    if answer and (excess := excess_of(sent, answer)):
        said = f"the broker reports {plain(excess)} more than the {plain(sent.most)} that were ordered"
        return contradicted(sent, said, wall)
    return answered(sent, answer, now, wall)
