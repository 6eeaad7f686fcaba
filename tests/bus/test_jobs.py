from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from app.bus import jobs


def test_a_job_reads_back_as_it_was_written() -> None:
    job: dict[str, Any] = {"t": None, "f": "scan_chunk", "a": ["run_1", 7], "k": {}, "et": 1}
    assert jobs.encode(job) == b'{"t":null,"f":"scan_chunk","a":["run_1",7],"k":{},"et":1}'
    assert jobs.decode(jobs.encode(job)) == job


@pytest.mark.parametrize("value", [Decimal("1.5"), datetime(2026, 1, 1, tzinfo=UTC), b"bytes", {1, 2}, object()])
def test_what_is_not_json_is_refused(value: object) -> None:
    with pytest.raises(TypeError) as refused:
        jobs.encode({"a": [value]})
    assert isinstance(refused.value.__cause__, AssertionError)


def test_the_exception_of_a_failed_job_is_written_as_text() -> None:
    assert jobs.encode({"r": ValueError("no such run")}) == b"""{"r":"ValueError('no such run')"}"""


def test_every_job_has_a_queue() -> None:
    assert jobs.QUEUE_OF == {
        "scan_tick": jobs.LIGHT,
        "scan_chunk": jobs.LIGHT,
        "prices_tick": jobs.LIGHT,
        "plan_compute": jobs.HEAVY,
        "plan_execute": jobs.LIGHT,
        "bulk_run": jobs.HEAVY,
        "pool_work": jobs.LIGHT,
    }
