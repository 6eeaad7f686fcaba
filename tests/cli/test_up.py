"""`steelyard up`: the API and the workers on embedded servers, with a secret of our own."""

import signal
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from app.api import auth
from app.context import wall_now
from app.settings import Settings
from tests.cli.shell import SECRET, steelyard
from tests.cli.supervised import supervised
from tests.conftest import temporary_folder

CREATE = 'mutation { portfolioCreate(input: {name: "Kept"}) { portfolio { id } userErrors { message } } }'


@pytest.fixture
def data_dir() -> Iterator[Path]:
    with temporary_folder() as folder:
        yield folder


def token() -> str:
    return auth.issue(Settings(jwt_secret=SECRET), subject="alice", now=wall_now(), ttl_s=600)


def test_up_serves_stops_at_ctrl_c_leaves_nothing_and_keeps_the_data(data_dir: Path) -> None:
    with supervised(["up"], data_dir, STEELYARD_JWT_SECRET=SECRET) as first:
        first.until_ready()
        created = first.ask(token(), CREATE)["portfolioCreate"]["portfolio"]["id"]
        refused = steelyard("up", "--port", str(first.port), given={"STEELYARD_JWT_SECRET": SECRET})
        assert refused.error().endswith(
            f":{first.port} is not free: Address already in use; choose another with --port"
        )
        assert {"serve", "workers", "postgres", "valkey-server"} <= words(first.processes().values())
        assert first.stop(signal.SIGINT) == 0
        first.nothing_is_left()
    with supervised(["up"], data_dir, STEELYARD_JWT_SECRET=SECRET) as second:
        second.until_ready()
        assert second.ask(token(), "{ portfolios { nodes { id name } } }") == {
            "portfolios": {"nodes": [{"id": created, "name": "Kept"}]}
        }
        second.stop(signal.SIGKILL)  # whoever is killed leaves nothing behind either
        second.nothing_is_left()


def words(commands: Iterable[str]) -> set[str]:
    """Return all words of some commands, of a path its last part."""
    return {word.rpartition("/")[2] for command in commands for word in command.split()}
