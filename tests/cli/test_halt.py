"""The kill switch on the command line, for who can reach the database."""

import json
from pathlib import Path

from app.embedded import Endpoints
from tests.cli.shell import steelyard
from tests.cli.test_commands import settings_of
from tests.cli.test_drift import EXAMPLE

OWNER = ("--owner", "steelyard:alice")


def test_trading_is_halted_for_all_and_goes_on(database: Endpoints, redis_url: str) -> None:
    shell = settings_of(database, redis_url)
    halted = steelyard("halt", "--reason", "the exchange is on fire", given=shell)
    assert (halted.code, halted.out) == (0, "trading is halted by cli: the exchange is on fire\n")
    again = steelyard("halt", "--reason", "still", given=shell)
    assert again.out == halted.out
    resumed = steelyard("resume", given=shell)
    assert (resumed.code, resumed.out) == (0, "trading goes on, but for portfolios that are halted by themselves\n")


def test_portfolio_is_halted_by_itself(database: Endpoints, redis_url: str, tmp_path: Path) -> None:
    shell = settings_of(database, redis_url)
    file = tmp_path / "portfolio.json"
    file.write_text(json.dumps(EXAMPLE))
    portfolio_id = steelyard("import", file, *OWNER, "--with-assets", given=shell).out.split()[-1]
    one = (*OWNER, "--portfolio", portfolio_id)
    assert steelyard("halt", "--reason", "x", *one, given=shell).out == f"{portfolio_id} is halted\n"
    assert steelyard("resume", *one, given=shell).out == f"{portfolio_id} may trade\n"


def test_halt_says_what_it_needs(database: Endpoints) -> None:
    shell = settings_of(database)
    both = "portfolio: give --owner and --portfolio for one portfolio, neither for all"
    assert steelyard("halt", "--reason", "x", *OWNER, given=shell).error() == both
    reason = "reason must be 1 to 500 characters without control characters or space around it"
    assert steelyard("halt", "--reason", "", given=shell).error() == reason
