"""`steelyard demo`: what it prints is true, what dies comes back, and the second start goes on where the first was."""

import re
import shlex
import shutil
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from string import Template
from typing import Any

import httpx2
import pytest

from app.actions import demo_prices
from tests.cli.shell import steelyard
from tests.cli.supervised import Supervised, supervised, wait_until
from tests.conftest import temporary_folder

CACHE = Path(__file__).parents[2] / ".cache" / "prices"
RESTART_S = 15.0  # five on a machine that does nothing else
CHILDREN = (
    *("-m workers", "-m app serve", "-m app replay-prices", "-m app receive", "-m app desk"),
    *("valkey-server", "bin/postgres -D"),
)
PORTFOLIOS = "{ portfolios { nodes { id } } }"


@dataclass(frozen=True)
class Demo:
    """A demo that has printed what it prints."""

    at: Supervised
    tokens: dict[str, str]
    requests: list[list[str]]

    @classmethod
    def of(cls, at: Supervised) -> "Demo":
        lines = at.said("Ctrl-C stops everything")
        tokens = dict(line.strip().split("=", 1) for line in lines if re.match(r"[A-Z]+=ey", line))
        requests = [shlex.split(Template(line).substitute(tokens)) for line in lines if line.startswith("curl ")]
        assert any(f"Steelyard is at {at.url}. " in line for line in lines)
        return cls(at, tokens, requests)

    def request(self, number: int) -> httpx2.Request:
        """Make the request that a printed command makes."""
        program, options, url, *rest = self.requests[number]
        assert (program, options) in (("curl", "-s"), ("curl", "-sN"))
        headers, data = {}, None
        for name, value in zip(rest[::2], rest[1::2], strict=True):
            if name == "-H":
                headers[value.partition(": ")[0]] = value.partition(": ")[2]
            else:
                assert name == "-d"
                data = value
        return httpx2.Request("GET" if data is None else "POST", url, headers=headers, content=data)


@pytest.fixture(scope="module")
def data_dir() -> Iterator[Path]:
    """Give a data folder that has the prices already, so that nothing is fetched."""
    found = demo_prices.fetch(CACHE)
    with temporary_folder() as folder:
        shutil.copytree(found, folder / "demo-prices" / found.name)
        yield folder


@pytest.fixture(scope="module")
def running(data_dir: Path) -> Iterator[Demo]:
    with supervised(["demo"], data_dir) as started:
        yield Demo.of(started)


def test_three_printed_requests_are_answered(running: Demo) -> None:
    assert list(running.tokens) == ["ALICE", "BOB", "CAROL", "OPERATOR"]
    assert len(running.requests) == 3
    with httpx2.Client(trust_env=False, timeout=20) as http:
        nodes: list[dict[str, Any]] = http.send(running.request(0)).json()["data"]["portfolios"]["nodes"]
        assert [node["name"] for node in nodes] == ["Core growth", "Crypto tilt"]
        assert {node["drift"]["status"] for node in nodes} <= {"WITHIN", "WARNING", "BREACHED"}
        report = http.send(running.request(1)).json()
        assert report["status"] in ("WITHIN", "WARNING", "BREACHED")
        assert report["at"].startswith("2018-")
        stream = http.send(running.request(2), stream=True)
        assert (stream.status_code, stream.headers["content-type"].partition(";")[0]) == (200, "text/event-stream")
        stream.close()


def test_plan_is_worked_to_its_end_though_everything_is_killed_in_the_middle(running: Demo, data_dir: Path) -> None:
    """The demo approves it; slices and orders with a limit are shown by `planUpdated`, before and after."""

    def shown(words: str) -> bool:
        return any(re.search(f"^plan      Crypto tilt  .*{words}", line) for line in list(running.at.lines))

    wait_until(lambda: shown("TWAP .*  FILLED"), "a slice to be filled")
    assert not shown("COMPLETED|PARTIAL")
    running.at.kill_all(CHILDREN)
    wait_until(running.at.is_ready, "the API to be ready again")
    wait_until(lambda: shown("COMPLETED|PARTIAL"), "the end of the plan")
    assert shown("LIMIT 1: .*  limit .*  FILLED")
    assert shown("COMPLETED")
    verified = steelyard("verify", given={"STEELYARD_DATA_DIR": str(data_dir)})
    assert verified.code == 0, verified
    assert verified.out.startswith("7 of 7 histories are whole, ")


def test_prices_are_replayed(running: Demo) -> None:
    query = '{ assets(search: "AAPL") { nodes { price { at } } } }'

    def at() -> str:
        found = running.at.ask(running.tokens["ALICE"], query)
        return str(found["assets"]["nodes"][0]["price"]["at"])

    before = at()
    wait_until(lambda: at() > before, "the next day's prices")


@pytest.mark.parametrize("child", CHILDREN)
def test_child_that_is_killed_is_started_again(running: Demo, child: str) -> None:
    running.at.kill(child)
    running.at.said("died and was started again.")
    wait_until(running.at.is_ready, "the API to be ready again")
    assert len(running.at.ask(running.tokens["ALICE"], PORTFOLIOS)["portfolios"]["nodes"]) == 2


def test_receiver_verifies_what_is_raised_escalates_is_over_and_is_planned(running: Demo) -> None:
    """Crypto begins near the edge of its band, and the monitor proposes; an alert about a tight band is soon over."""
    for told in ("alert.raised", "alert.escalated", "alert.resolved", "plan.ready"):
        wait_until(lambda told=told: any(f"verified  {told}  " in line for line in running.at.lines), told)  # type: ignore[misc]
    assert not [line for line in running.at.lines if line.startswith("refused")]


def test_ctrl_c_leaves_nothing_and_the_next_start_goes_on(running: Demo, data_dir: Path) -> None:
    before = running.at.ask(running.tokens["CAROL"], PORTFOLIOS)
    assert running.at.stop() == 0
    running.at.nothing_is_left()
    with supervised(["demo"], data_dir, port=running.at.port) as again:
        assert again.until_ready() < RESTART_S
        demo = Demo.of(again)
        assert again.ask(demo.tokens["CAROL"], PORTFOLIOS) == before
        assert again.stop(signal.SIGTERM) == 0
        again.nothing_is_left()
