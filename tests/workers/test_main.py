"""Which jobs a worker knows, and when it ticks."""

import pytest
from arq.worker import func

from app.bus.jobs import HEAVY, LIGHT, QUEUE_OF
from app.settings import Settings
from workers import main


@pytest.mark.parametrize("job", sorted(QUEUE_OF))
def test_every_job_by_name_is_one_of_its_queues_worker(job: str) -> None:
    known = {LIGHT: main.LIGHT_JOBS, HEAVY: main.HEAVY_JOBS}[QUEUE_OF[job]]
    assert job in [func(function).name for function in known]


def test_no_worker_has_a_job_without_a_name() -> None:
    assert {func(function).name for function in (*main.LIGHT_JOBS, *main.HEAVY_JOBS)} == set(QUEUE_OF)


@pytest.mark.parametrize(
    ("period_s", "demo", "every_second"),
    [(3600, False, False), (60, False, False), (59, False, True), (1, False, True), (86_400, True, True)],
)
def test_the_clock_ticks_every_minute_or_every_second_where_buckets_are_short(
    period_s: int, demo: bool, every_second: bool
) -> None:
    tick = main._tick(Settings().model_copy(update={"scan_period_s": period_s, "demo": demo}))
    assert tick.second == (set(range(60)) if every_second else 0)
    assert (tick.run_at_startup, tick.unique) == (True, True)
