"""What a scraper sees: whether the hours are scanned, and nothing of anybody."""

import httpx2

from tests.journeys.fragile import PORTFOLIOS, Fragile
from tests.support import later, until

OLDEST = "steelyard_scan_oldest_unscanned_seconds"


def scrape(fragile: Fragile) -> dict[str, float]:
    answer = httpx2.get(f"{fragile.steelyard.http}/metrics", verify=False)
    assert (answer.status_code, answer.headers["content-type"].split(";")[0]) == (200, "text/plain")
    lines = [line.rpartition(" ") for line in answer.text.splitlines() if not line.startswith("#")]
    return {name: float(value) for name, _, value in lines}


async def test_the_age_of_the_oldest_hour_rises_while_nobody_works_and_falls_when_somebody_does(
    fragile: Fragile,
) -> None:
    await fragile.scan()
    assert scrape(fragile)[OLDEST] == 0
    fragile.dismiss()
    ages = []
    for _ in range(3):
        async with fragile.steelyard.services() as services:
            await later(services)
        ages.append(scrape(fragile)[OLDEST])
    assert [age // 3600 for age in ages] == [0, 1, 2]
    fragile.worker()

    async def fallen() -> bool:
        found = scrape(fragile)
        return found[OLDEST] == 0 and found['steelyard_scan_portfolios{state="scanned"}'] == PORTFOLIOS

    await until(fallen)
    found = scrape(fragile)
    assert found['steelyard_scan_portfolios{state="due"}'] == PORTFOLIOS
    assert found["steelyard_scan_missed_total"] >= 2
    assert found['steelyard_scan_runs{status="RUNNING"}'] == 0
    assert found['steelyard_alerts_open{kind="DRIFT"}' if fragile.raised else "steelyard_up"] >= 1
    assert (found["steelyard_event_backlog_seconds"], found["steelyard_up"]) == (0, 1)
    assert found["process_resident_memory_bytes"] > 0


async def test_without_a_database_the_metrics_say_so(fragile: Fragile) -> None:
    fragile.kill("postgres")
    found = scrape(fragile)
    assert found["steelyard_up"] == 0
    assert OLDEST not in found
