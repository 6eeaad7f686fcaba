"""GET /metrics: for a scraper without a token, on any database, or not at all."""

from app.embedded import Endpoints
from tests.api.conftest import Api, running

BLANK = """\
steelyard_up 1.0
steelyard_streams 0.0
steelyard_scan_oldest_unscanned_seconds 0.0
steelyard_scan_runs{status="DONE"} 0.0
steelyard_scan_runs{status="MISSED"} 0.0
steelyard_scan_runs{status="RUNNING"} 0.0
steelyard_scan_missed_total 0.0
steelyard_scan_portfolios{state="due"} 0.0
steelyard_scan_portfolios{state="failed"} 0.0
steelyard_scan_portfolios{state="scanned"} 0.0
steelyard_event_backlog_seconds 0.0
steelyard_price_backlog_seconds 0.0
"""


def ours(text: str) -> str:
    return "".join(f"{line}\n" for line in text.splitlines() if line.startswith("steelyard_"))


def test_a_blank_database_has_figures_too(database: Endpoints) -> None:
    with running(database) as api:
        answer = api.http.get("/metrics")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/plain; version=")
    assert ours(answer.text) == BLANK
    assert "\nprocess_open_fds " in answer.text


def test_a_database_without_tables_is_said_to_be_down(empty_database: Endpoints) -> None:
    with running(empty_database) as api:
        answer = api.http.get("/metrics")
    assert (answer.status_code, ours(answer.text)) == (200, "steelyard_up 0.0\nsteelyard_streams 0.0\n")


def test_the_metrics_may_be_switched_off(database: Endpoints) -> None:
    with running(database, metrics=False) as api:
        assert api.http.get("/metrics").status_code == 404


def test_metrics_are_only_read(api: Api) -> None:
    assert api.http.post("/metrics", headers={"content-type": "application/json"}, content=b"{}").status_code == 405
