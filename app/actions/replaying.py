"""Replaying a plan: made again from what it was made from, and compared with what is stored to the last digit."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Final

from app.context import Services, Watch
from app.core import plan as core
from app.core import replay as compare
from app.core.errors import NotFound, SolverMissing
from app.core.plan import Plan
from app.core.replay import Difference, Inputs, ReplayVerdict
from app.store import inputs as rows
from app.store.inputs import Kept
from app.store.plan_reading import load_plan

EXIT: Final = {ReplayVerdict.AGREES: 0, ReplayVerdict.DIFFERS: 1, ReplayVerdict.CANNOT_TELL: 2}


@dataclass(frozen=True, slots=True)
class Replayed:
    """What the replay of a plan found. `size` is that of its inputs, in bytes, as they are kept.

    `why` says why it cannot be told whether the same plan would be made, `solver` that another HiGHS was asked.
    """

    plan_id: str
    verdict: ReplayVerdict
    why: str | None = None
    engine: str | None = None
    digest: str | None = None
    size: int = 0
    differences: tuple[Difference, ...] = ()
    solver: str | None = None


async def scan_replay(services: Services, plan_id: str) -> Replayed:
    """Replay a plan, whoever's it is."""
    async with services.store.shared(reading=True) as tx:
        owner_id = await rows.scan_owner_of(tx, plan_id)
    if owner_id is None:
        raise NotFound("plan", plan_id, ["plan"])
    return await replay(owner_id, services, plan_id)


async def replay(owner_id: int, services: Services, plan_id: str) -> Replayed:
    """Make an owner's plan again within the limits of then, but for the clock, and compare; nothing is written.

    Inputs that are not those that the history tells of are a difference, and nothing is made from them.
    """
    async with services.store.owned(owner_id, reading=True) as tx:
        stored = await load_plan(owner_id, tx, plan_id)
        kept = await rows.load_inputs(owner_id, tx, plan_id)
    if stored is None:
        raise NotFound("plan", plan_id, ["plan"])
    if stored.plan is None:
        return Replayed(plan_id, ReplayVerdict.CANNOT_TELL, f"it is {stored.status.value} and was never made")
    if kept is None:
        return Replayed(plan_id, ReplayVerdict.CANNOT_TELL, "it was made before inputs were kept with plans")
    found = Replayed(plan_id, ReplayVerdict.CANNOT_TELL, None, stored.engine, kept.digest, len(kept.packed))
    if edited := _edited(kept):
        return _judged(found, edited)
    head = rows.head_of(kept.packed)
    if why := compare.obstacle(head):
        return replace(found, why=why)
    found = replace(found, solver=compare.other_solver(head))
    try:
        return _judged(found, await _differences(services, stored.plan, kept))
    except SolverMissing as error:
        return replace(found, why=error.message)


def _judged(found: Replayed, differences: tuple[Difference, ...]) -> Replayed:
    verdict = ReplayVerdict.DIFFERS if differences else ReplayVerdict.AGREES
    return replace(found, verdict=verdict, differences=differences)


def _edited(kept: Kept) -> tuple[Difference, ...]:
    """Return where the plan's row is not as the history tells."""
    pairs = {"inputs": (kept.told_seal, rows.seal(kept.packed)), "inputs_digest": (kept.told_digest, kept.digest)}
    return tuple(
        Difference(f"history.{at}", told or "none", here) for at, (told, here) in pairs.items() if told != here
    )


async def _differences(services: Services, plan: Plan, kept: Kept) -> tuple[Difference, ...]:
    """Return where the inputs are not those of their digest, and where the plan made from them is another."""
    inputs, watch = rows.unpack(kept.packed), Watch()
    pinned = () if inputs.digest == kept.digest else (Difference("inputs_digest", kept.digest, inputs.digest),)
    try:
        again = await services.run(again_of, inputs, watch=watch)
    finally:
        watch.stopped = True  # whoever asked may be gone
    return pinned + compare.differences(plan, again)


def again_of(inputs: Inputs, *, watch: Watch) -> Plan:
    """Make a plan from stored inputs, however long it takes: the clock had not ended the search then either."""
    limits = replace(inputs.head.limits, seconds=math.inf)
    return core.propose(inputs.snapshot, inputs.request, limits=limits, watch=watch)


def lines(found: Replayed) -> Iterator[str]:
    """Write what was found for a person: one line, one for each difference, and one where another HiGHS was asked."""
    if found.why is not None:
        yield f"{found.plan_id} cannot be replayed: {found.why}"
        return
    made_from = f"{found.size} bytes of inputs, digest {found.digest}, engine {found.engine}"
    if not found.differences:
        yield f"{found.plan_id} agrees: made again, it is the same plan ({made_from})"
    else:
        yield from _differing(found, made_from)
    if found.solver:
        yield found.solver


def _differing(found: Replayed, made_from: str) -> Iterator[str]:
    count = len(found.differences)
    yield f"{found.plan_id} differs in {count} place{'s' if count > 1 else ''} ({made_from})"
    for one in found.differences:
        yield f"- {one.at}: {one.stored!r} is stored, {one.again!r} was found"


def document(found: Replayed) -> dict[str, Any]:
    """Write what was found for a program."""
    differences = [{"at": one.at, "stored": one.stored, "again": one.again} for one in found.differences]
    return {
        "plan": found.plan_id,
        "verdict": found.verdict.value,
        "why": found.why,
        "engine": found.engine,
        "inputsDigest": found.digest,
        "inputsBytes": found.size,
        "differences": differences,
        "solver": found.solver,
    }
