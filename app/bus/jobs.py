"""The jobs by name, the queue each waits in, and how a job is written down: JSON, so that nothing but facts travels."""

from typing import Any

import orjson

LIGHT = "steelyard:light"
HEAVY = "steelyard:heavy"

SCAN_TICK = "scan_tick"
SCAN_CHUNK = "scan_chunk"
PRICES_TICK = "prices_tick"
PLAN_COMPUTE = "plan_compute"
PLAN_EXECUTE = "plan_execute"
BULK_RUN = "bulk_run"
POOL_WORK = "pool_work"

QUEUE_OF = {
    SCAN_TICK: LIGHT,
    SCAN_CHUNK: LIGHT,
    PRICES_TICK: LIGHT,
    PLAN_COMPUTE: HEAVY,
    PLAN_EXECUTE: LIGHT,
    BULK_RUN: HEAVY,
    POOL_WORK: LIGHT,
}

# orjson would write dates and dataclasses by itself; a job names rows by id, so they are refused like all else.
_PLAIN_ONLY = orjson.OPT_PASSTHROUGH_DATETIME | orjson.OPT_PASSTHROUGH_DATACLASS | orjson.OPT_PASSTHROUGH_SUBCLASS


def encode(job: dict[str, Any]) -> bytes:
    """Write a job as JSON. The only thing beside plain JSON is the exception of a failed job, as its text."""
    return orjson.dumps(job, default=_text_of, option=_PLAIN_ONLY)


def decode(written: bytes) -> dict[str, Any]:
    """Read a job that `encode` wrote."""
    job = orjson.loads(written)
    assert isinstance(job, dict), f"a job is a JSON object, not {type(job).__name__}"
    return job


def _text_of(value: object) -> str:
    assert isinstance(value, BaseException), f"jobs carry ids and plain JSON, not {type(value).__name__}"
    return repr(value)
