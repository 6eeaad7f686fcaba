"""The commands beside `drift`, `up` and `demo`: on real servers, and without what they need."""

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import jwt
import pytest

from app.embedded import Endpoints
from tests.cli.shell import SECRET, environment, steelyard
from tests.cli.test_drift import EXAMPLE

ROOT = Path(__file__).parents[2]
NOWHERE = {"DATABASE_URL": "postgresql://a@127.0.0.1:1/x", "REDIS_URL": "redis://127.0.0.1:1/0"}
KEYS = "no key for tokens is set: set STEELYARD_JWT_KEY_FILE or STEELYARD_JWT_JWKS_URL to your issuer's keys, or "
ADVICE = "set it to the output of `openssl rand -hex 32`"
OWNER = ("--owner", "steelyard:alice")
LOTS = "account,symbol,quantity,unit_cost,acquired_on\n"


def settings_of(endpoints: Endpoints, redis_url: str = "redis://127.0.0.1:1/0", **given: str) -> dict[str, str]:
    return {"DATABASE_URL": endpoints.database_url, "REDIS_URL": redis_url, "STEELYARD_JWT_SECRET": SECRET, **given}


@pytest.fixture
def shell(database: Endpoints, redis_url: str) -> dict[str, str]:
    """Give the settings of a shell with everything in its place."""
    return settings_of(database, redis_url)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "portfolio.json"
    path.write_text(json.dumps(EXAMPLE))
    return path


def test_token_names_whom_it_was_made_for() -> None:
    said = steelyard("token", "--sub", "alice", "--role", "operator", "--act", "cron", "--ttl", "60",
                     given={"STEELYARD_JWT_SECRET": SECRET})  # fmt: skip
    claims = jwt.decode(said.out.strip(), SECRET, algorithms=["HS256"], audience="steelyard", issuer="steelyard")
    assert (claims["sub"], claims["role"], claims["act"], claims["exp"] - claims["iat"]) == (
        "alice",
        "operator",
        "cron",
        60,
    )


@pytest.mark.parametrize(
    ("arguments", "secret", "message"),
    [
        (["--sub", "x"], "", f"STEELYARD_JWT_SECRET is not set, so no token can be signed; {ADVICE}"),
        (["--sub", "x"], "short", f"STEELYARD_JWT_SECRET has 5 bytes and needs at least 32; {ADVICE}"),
        (["--sub", ""], SECRET, "sub must be 1 to 255 printable characters"),
        (["--sub", "x", "--ttl", "0"], SECRET, "ttl is 0 s; it must be 1 to 86400"),
        (["--sub", "x", "--role", "king"], SECRET, "role 'king' is not known; use operator"),
    ],
)
def test_token_that_cannot_be_made_is_one_sentence(arguments: list[str], secret: str, message: str) -> None:
    assert steelyard("token", *arguments, given={"STEELYARD_JWT_SECRET": secret}).error() == message


def test_migrate_makes_the_schema_and_then_has_nothing_to_do(empty_database: Endpoints) -> None:
    given = settings_of(empty_database, STEELYARD_MIGRATE_DATABASE_URL=empty_database.migrate_database_url)
    first = steelyard("migrate", given=given)
    assert (first.code, first.err) == (0, "")
    assert first.out.startswith("applied 0001_")
    assert steelyard("migrate", given=given).out == "nothing to do; the schema is up to date\n"


def test_migrate_that_cannot_be_done_is_one_sentence(empty_database: Endpoints) -> None:
    assert steelyard("migrate").error() == "DATABASE_URL is not set; set it, or STEELYARD_MIGRATE_DATABASE_URL"
    assert steelyard("migrate", given=NOWHERE).error() == (
        "the database is not available: ConnectionRefusedError; check DATABASE_URL"
    )
    assert steelyard("migrate", given={"DATABASE_URL": "sqlite://x"}).error() == (
        "DATABASE_URL: a database URL reads postgresql://user:password@host:port/database"
    )
    stranger = empty_database.migrate_database_url.replace("steelyard_owner@", "nobody_of_ours@")
    assert "the database is not available" in steelyard("migrate", given={"DATABASE_URL": stranger}).error()
    application = {"DATABASE_URL": empty_database.database_url}
    assert steelyard("migrate", given=application).error() == (
        "STEELYARD_MIGRATE_DATABASE_URL: permission denied for schema public; "
        "migrations need the role that owns the tables"
    )


NONE = "none are configured; `up` and `demo` bring their own"


def test_doctor_finds_nothing_wrong(shell: dict[str, str]) -> None:
    said = steelyard("doctor", given=shell)
    assert (said.code, said.out) == (0, "keys: ok\nmail: ok\ndatabase: ok\nschema: ok\nredis: ok\n")


def test_doctor_says_what_is_wrong(empty_database: Endpoints) -> None:
    said = steelyard("doctor")
    assert (said.code, said.out) == (1, f"keys: {KEYS}STEELYARD_JWT_SECRET ({ADVICE})\nmail: ok\nservers: {NONE}\n")
    said = steelyard("doctor", given=settings_of(empty_database))
    lines = said.out.splitlines()
    assert lines[:3] == ["keys: ok", "mail: ok", "database: ok"]
    assert lines[3].startswith("schema: migrations are missing: 0001_")
    assert (said.code, lines[4]) == (1, "redis: no answer; check REDIS_URL")
    said = steelyard("doctor", given={**NOWHERE, "STEELYARD_JWT_SECRET": SECRET})
    assert said.out.splitlines()[2:4] == ["database: no answer; check DATABASE_URL", "schema: not checked"]
    wrong = {**settings_of(empty_database), "STEELYARD_SMTP_URL": "smtp://u:secret@mail.example"}
    told = "STEELYARD_MAIL_FROM is not set; set it to the address that e-mail comes from"
    assert steelyard("doctor", given=wrong).out.splitlines()[1] == f"mail: {told}"
    assert steelyard("up", given=wrong).error() == told
    away = {**wrong, "STEELYARD_SMTP_URL": "smtp://u:secret@127.0.0.1:9", "STEELYARD_MAIL_FROM": "a@example.com"}
    said = steelyard("doctor", given=away)
    assert (said.code, "secret" in said.out) == (1, False)
    line = said.out.splitlines()[1]
    assert line.startswith("mail: the mail server cannot be used: ")
    assert line.endswith("; check STEELYARD_SMTP_URL")
    assert "servers: only one of" in steelyard("doctor", given={"REDIS_URL": "redis://127.0.0.1:1/0"}).out
    bad = {**settings_of(empty_database), "REDIS_URL": "localhost:6379"}
    assert steelyard("doctor", given=bad).error().startswith("REDIS_URL: a Redis URL reads redis://host:port/0, ")


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        (
            "STEELYARD_PORT",
            "abc",
            "STEELYARD_PORT: Input should be a valid integer, unable to parse string as an integer",
        ),
        ("STEELYARD_SCAN_PERIOD_S", "7", "STEELYARD_SCAN_PERIOD_S: Value error, 7 does not divide 86400; "),
        ("STEELYARD_ALLOWED_ORIGINS", "x", 'error parsing value for field "allowed_origins"'),
    ],
)
def test_wrong_setting_is_one_sentence(name: str, value: str, message: str) -> None:
    for command in (["doctor"], ["serve"], ["worker"], ["up"], ["migrate"], ["token", "--sub", "x"]):
        assert steelyard(*command, given={name: value}).error().startswith(message)


def test_schema_is_current_and_a_stale_one_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert steelyard("schema", "--check").error().startswith("schema.graphql is not current; ")
    assert steelyard("schema").out == "schema.graphql written\n"
    assert steelyard("schema", "--check").out == "schema.graphql is current\n"
    with Path("schema.graphql").open("a") as written:
        written.write("\n")
    assert steelyard("schema", "--check").error().startswith("schema.graphql is not current; ")
    Path("schema.graphql").unlink()
    Path("schema.graphql").mkdir()
    assert steelyard("schema").error() == "[Errno 21] Is a directory: 'schema.graphql'"


@pytest.fixture
def taken_port() -> Iterator[int]:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        yield taken.getsockname()[1]


def test_nothing_starts_without_what_it_needs(taken_port: int) -> None:
    missing = "DATABASE_URL is not set; set it, or run `steelyard up`, which brings its own servers"
    keys = {"STEELYARD_JWT_SECRET": SECRET}
    assert steelyard("worker").error() == missing
    assert steelyard("serve", given=keys).error() == missing
    for command in ("serve", "up"):
        assert steelyard(command).error() == f"{KEYS}STEELYARD_JWT_SECRET ({ADVICE})"
        weak = {"STEELYARD_JWT_SECRET": "4d1c0a9b8e7f2635" * 2}
        assert steelyard(command, given=weak).error() == f"STEELYARD_JWT_SECRET repeats itself; {ADVICE}"
        taken = steelyard(command, "--port", str(taken_port), given={**NOWHERE, **keys})
        assert taken.error() == (
            f"port: 127.0.0.1:{taken_port} is not free: Address already in use; choose another with --port"
        )
        assert steelyard(command, "--port", "65536", given=keys).code == 2
    assert steelyard("worker", "--queue", "fast").error() == "queue is 'fast'; it must be light, heavy or all"
    assert steelyard("up", given={**NOWHERE, **keys, "STEELYARD_PORT": str(free_port())}).error() == (
        "the database is not available: ConnectionRefusedError; check DATABASE_URL"
    )


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_import_and_export_speak_the_same_file(shell: dict[str, str], file: Path, tmp_path: Path) -> None:
    unknown = steelyard("import", file, *OWNER, given=shell)
    assert unknown.error().endswith("no asset has the symbol VTI:USD; an operator can add it")
    first = steelyard("import", file, *OWNER, "--with-assets", given=shell)
    assert (first.code, first.err, first.out[:3], len(first.out)) == (0, "", "pf_", 30)
    assert steelyard("import", file, *OWNER, given=shell).out == first.out
    exported = steelyard("export", *OWNER, "--portfolio", first.out.strip(), given=shell)
    copy = tmp_path / "copy.json"
    copy.write_text(exported.out)
    assert steelyard("drift", copy, "--json").json()["missing"] == []
    second = steelyard("import", copy, *OWNER, given=shell)
    assert second.out != first.out
    again = steelyard("export", *OWNER, "--portfolio", second.out.strip(), given=shell)
    assert {**again.json(), "asOf": ""} == {**exported.json(), "asOf": ""}


def test_csv_goes_into_a_portfolio_that_is_there(shell: dict[str, str], file: Path, tmp_path: Path) -> None:
    portfolio_id = steelyard("import", file, *OWNER, "--with-assets", given=shell).out.strip()
    lots, prices = tmp_path / "lots.CSV", tmp_path / "prices.csv"
    lots.write_text(LOTS + "Pension,BND,5,70,2024-01-02\n")
    prices.write_text("symbol,currency,price,priced_at\nBND,USD,71,\n")
    into = ("--portfolio", portfolio_id)
    assert steelyard("import", lots, *OWNER, *into, given=shell).out == "1 lots imported into 1 accounts\n"
    assert steelyard("import", prices, *OWNER, given=shell).error().startswith("with-assets: prices are everybody's; ")
    facts, since = tmp_path / "facts.csv", ("--history-from", "2024-01-01")
    facts.write_text(
        "date,account,account_kind,side,symbol,quantity,price,fees\n2024-01-02,Broker,TAXABLE,BUY,VTI,1,200,\n"
    )
    assert steelyard("import", facts, *OWNER, *into, *since, given=shell).out == "1 transactions added\n"
    assert '"historyFrom": "2024-01-01"' in steelyard("export", *OWNER, *into, given=shell).out
    assert steelyard("import", file, *OWNER, *since, given=shell).error() == (
        "history-from: a portfolio file says itself from when on it knows the past"
    )
    assert steelyard("import", facts, *OWNER, *into, "--history-from", "June", given=shell).error() == (
        "history-from must be a date such as 2026-11-22, not 'June'"
    )
    assert steelyard("import", prices, *OWNER, "--with-assets", given=shell).out == "1 prices recorded\n"
    exported = steelyard("export", *OWNER, *into, given=shell).json()
    assert [lot["symbol"] for lot in exported["portfolio"]["accounts"][1]["lots"]] == ["BND"]
    assert {asset["symbol"]: asset.get("price") for asset in exported["assets"]}["BND"] == "71"


def test_import_does_not_need_redis(database: Endpoints, file: Path) -> None:
    said = steelyard("import", file, *OWNER, "--with-assets", given=settings_of(database))
    assert (said.code, said.out[:3], len(said.out)) == (0, "pf_", 30)
    assert "bus_away" in said.err


def test_import_and_export_that_cannot_be_done_are_one_sentence(
    shell: dict[str, str], empty_database: Endpoints, file: Path
) -> None:
    assert steelyard("export", *OWNER, given=shell).error() == "portfolio: which portfolio? give --portfolio"
    for unknown in ("pf_00000000000000000000000000", "nonsense", "'; --", "\udcff"):
        found = steelyard("export", *OWNER, "--portfolio", unknown, given=shell).error()
        assert found.startswith("portfolioId: portfolio ")
        assert found.endswith(" does not exist")
    for owner in ("alice", ":alice", "steelyard:", "a:\n"):
        assert steelyard("import", file, "--owner", owner, given=shell).error().startswith("owner is ")
    assert steelyard("import", file, *OWNER).error().startswith("DATABASE_URL is not set; ")
    assert steelyard("import", file, *OWNER, given=NOWHERE).error() == (
        "the database is not available: ConnectionRefusedError; check DATABASE_URL"
    )
    without_schema = settings_of(empty_database)
    assert steelyard("import", file, *OWNER, given=without_schema).error() == (
        "the database lacks tables; `steelyard migrate` makes them; check DATABASE_URL"
    )
    assert steelyard("import", file.parent, *OWNER, given=shell).error().endswith("cannot be read: Is a directory")


def test_wrong_usage_is_told_with_exit_code_2() -> None:
    for arguments in (["nonsense"], ["drift"], ["import", "x"], ["up", "--port", "x"]):
        said = steelyard(*arguments)
        assert (said.code, said.out) == (2, "")
        assert "Usage: steelyard" in said.err


def test_names_that_the_terminal_has_no_letters_for_are_escaped(tmp_path: Path) -> None:
    file = tmp_path / "portfolio.json"
    targets = [{"key": "Übersee", "percent": "100", "assets": ["A"]}]
    lots = [{"symbol": "A", "quantity": "1"}]
    file.write_text(
        json.dumps(
            {
                "steelyard": 1,
                "assets": [{"symbol": "A", "price": "1"}],
                "portfolio": {"targets": targets, "accounts": [{"lots": lots}]},
            }
        )
    )
    done = subprocess.run(
        [sys.executable, "-m", "app", "drift", str(file)],
        cwd=ROOT,
        env=environment(PYTHONIOENCODING="ascii", PATH=os.environ["PATH"]),
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "\\xdcbersee" in done.stdout
