"""What a scan and a price tick have in common: measure, decide, save, tell."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import structlog

from app.actions import proposals
from app.actions.portfolios import Loaded
from app.context import Services, new_uuid
from app.core import alerts as core
from app.core import drift
from app.core.alerts import AlertEventKind, SleeveState
from app.core.drift import Report
from app.core.errors import SteelyardError
from app.store import alerts, reading, ticks
from app.store.alerts import Decided
from app.store.db import Tx

log = structlog.get_logger(__name__)

Measured = tuple[Loaded, Report]


@dataclass(frozen=True, slots=True)
class Told:
    """One thing that an owner is told; urgent when an alert was raised or escalated.

    Of `data` nothing is told yet: it began or ceased to be stale, and the owner's alert about it has to be settled.
    """

    owner_id: int
    urgent: bool
    data: bool = False


def measure_all(loaded: Sequence[Loaded], *, tracking: bool = False) -> list[Measured]:
    """Measure portfolios one by one, with their tracking error for a log; what cannot be measured is left out."""
    measured = []
    for one in loaded:
        try:
            measured.append((one, drift.measure(one.snapshot, tracking=tracking)))
        except SteelyardError as error:
            log.error("portfolio_not_measured", portfolio=one.row.public_id, reason=error.message)
        except Exception:  # our mistake, which must not cost the others of the chunk their hour
            log.exception("portfolio_not_measured", portfolio=one.row.public_id)
    return measured


async def measure_now(tx: Tx, portfolio_row_ids: Sequence[int], as_of: datetime) -> list[Measured]:
    """Measure portfolios as they are by now, at the latest prices, whose locks the caller holds."""
    loaded = await reading.scan_snapshots_now(tx, portfolio_row_ids, as_of)
    await ticks.scan_note_decisions(tx, portfolio_row_ids)
    return await asyncio.to_thread(measure_all, loaded)


async def decide(
    tx: Tx,
    measured: Sequence[Measured],
    states: Mapping[int, Mapping[str, SleeveState]],
    *,
    bucket: datetime | None,
    now: datetime,
) -> list[Told]:
    """Decide about measured portfolios, whose states were loaded in this transaction, and save what was decided.

    `bucket` is None for a price tick. What somebody has changed since it was read is measured again, lest an alert were
    raised by targets or holdings of before. What cannot be decided about is left as it is.
    """
    changed = await reading.scan_changed(tx, [one for one, _ in measured])
    if changed:
        newer = {one.row.id: (one, report) for one, report in await measure_now(tx, changed, now)}
        measured = [newer.get(one.row.id, (one, report)) for one, report in measured]
    decided = []
    for one, report in measured:
        try:
            decision = core.decide(states.get(one.row.id, {}), report, one.snapshot.policy, bucket)
        except Exception:  # our mistake again: the others, and all that comes after, do not wait for its mending
            log.exception("portfolio_not_decided", portfolio=one.row.public_id)
            continue
        decided.append(Decided(one.row.owner_id, one.row.id, decision))
    await alerts.scan_save_decisions(tx, decided, now=now, new_uuid=new_uuid)
    urgent = (AlertEventKind.RAISED, AlertEventKind.ESCALATED)
    told = [
        Told(one.owner_id, transition.event in urgent) for one in decided for transition in one.decision.transitions
    ]
    return told + [Told(one.owner_id, False, data=True) for one in decided if one.decision.data_changed]


async def tell(services: Services, told: Sequence[Told]) -> None:
    """Nudge who follows the owners that have news, after the commit, and propose plans where that is wanted."""
    await services.bus.nudge("alert", {one.owner_id for one in told if not one.data})
    if any(one.urgent for one in told):
        await proposals.scan_propose(services)
