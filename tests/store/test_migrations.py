"""Migrations: fresh, on a populated database, twice at once; and models that match them."""

import asyncio
import json
from datetime import UTC, datetime
from decimal import Decimal

import asyncpg
import pytest
from tortoise.context import TortoiseContext
from tortoise.exceptions import IntegrityError
from tortoise.migrations.autodetector import MigrationAutodetector
from tortoise.migrations.executor import MigrationExecutor, MigrationTarget
from tortoise.transactions import in_transaction

from app.core.alerts import AlertEventKind, AlertStatus
from app.core.policy import Policy
from app.embedded import Endpoints
from app.store import db, documents
from app.store.alerts import alert_of_payload

NAMES = [
    *("0001_initial", "0002_rules", "0003_prices", "0004_alerts", "0005_logs", "0006_scans", "0007_hooks"),
    *("0008_allowances", "0009_stale_scans", "0010_costs", "0011_plans", "0012_progress"),
    *("0013_execution", "0014_bulk"),
]

POPULATE = """
INSERT INTO owners VALUES (1, '00000000-0000-0000-0000-000000000001', 'test', 'alice', now());
INSERT INTO taxpayer_groups VALUES (1, 1);
INSERT INTO assets VALUES (1, '00000000-0000-0000-0000-000000000002', 'AAPL', 'USD', '', '', 'STOCK', 0, 0.01, 0,
    true, '', 0, 0, 0, 0, now());
INSERT INTO portfolios VALUES (1, '00000000-0000-0000-0000-000000000003', 'Main', 'USD', 'ACTIVE', 1, '{}', NULL,
    now(), now(), 1);
INSERT INTO accounts VALUES (1, '00000000-0000-0000-0000-000000000004', 'Main', 'TAXABLE', 1, NULL, now(), 1, 1, 1);
INSERT INTO tax_lots (id, public_id, owner_id, account_id, asset_id, quantity, basis, acquired_on, holding_from, origin)
    VALUES (1, '00000000-0000-0000-0000-000000000005', 1, 1, 1, 10, 1500, '2024-01-05', '2024-01-05', 'IMPORT');
"""

SCHEMA = """
SELECT 'column', table_name::text, column_name::text, data_type::text, is_nullable::text, column_default::text
    FROM information_schema.columns WHERE table_schema = 'public'
UNION ALL SELECT 'constraint', conrelid::regclass::text, conname, pg_get_constraintdef(oid), '', ''
    FROM pg_constraint WHERE connamespace = 'public'::regnamespace
UNION ALL SELECT 'index', tablename, indexname, indexdef, '', '' FROM pg_indexes WHERE schemaname = 'public'
UNION ALL SELECT 'trigger', tgrelid::regclass::text, tgname, pg_get_triggerdef(oid), '', ''
    FROM pg_trigger WHERE NOT tgisinternal
UNION ALL SELECT 'function', proname, '', prosrc, proacl::text, ''
    FROM pg_proc WHERE pronamespace = 'public'::regnamespace
UNION ALL SELECT 'right', table_name, grantee, privilege_type, '', ''
    FROM information_schema.role_table_grants WHERE table_schema = 'public'
ORDER BY 1, 2, 3, 4, 5, 6
"""


async def schema_of(url: str) -> list[tuple[str, ...]]:
    connection = await asyncpg.connect(url)
    try:
        return [tuple(row) for row in await connection.fetch(SCHEMA)]
    finally:
        await connection.close()


async def migrate_to(url: str, name: str) -> None:
    config = db._config(url, settings={}, command_timeout=None, pool=1)
    async with TortoiseContext() as context:
        await context.init(config=config)
        async with in_transaction() as connection:
            executor = MigrationExecutor(connection, config["apps"])
            await executor.recorder.ensure_schema(executor._schema_editor(atomic=False))
            await executor.migrate([MigrationTarget("store", name)])


async def test_two_migrations_at_once_take_turns(each_empty_database: Endpoints) -> None:
    url = each_empty_database.migrate_database_url
    assert await db.pending(url) == NAMES
    applied = await asyncio.gather(*(db.migrate(url) for _ in range(3)))
    assert sorted(applied) == [[], [], NAMES]
    assert await db.pending(each_empty_database.database_url) == []


async def test_a_populated_database_ends_with_the_schema_of_a_fresh_one(
    each_empty_database: Endpoints, database: Endpoints
) -> None:
    url = each_empty_database.migrate_database_url
    await migrate_to(url, NAMES[0])
    connection = await asyncpg.connect(url)
    await connection.execute(POPULATE)
    assert await db.migrate(url) == NAMES[1:]
    kept = await connection.fetchrow("SELECT quantity, basis FROM tax_lots")
    await connection.close()
    assert kept is not None
    assert (kept["quantity"], kept["basis"]) == (10, 1500)

    found, fresh = await schema_of(url), await schema_of(database.migrate_database_url)
    # PostgreSQL 18 names what every version has: NOT NULL as constraints, and the right to MAINTAIN.
    for schema in (found, fresh):
        schema[:] = [row for row in schema if "NOT NULL" not in row[3] and row[3] != "MAINTAIN"]
    assert found == fresh
    assert len(found) > 300


ALERTED = """
INSERT INTO alerts (
    id, public_id, owner_id, portfolio_id, kind, key, severity, status, message, raised_at, escalated_at
)
    SELECT n, gen_random_uuid(), 1, 1, kind, key, 'CRITICAL', status, 'Old.', '2024-06-03T16:00Z', escalated_at
    FROM (VALUES (1, 'DRIFT', 'AAPL', 'ACKNOWLEDGED', timestamptz '2024-06-03T18:00Z'),
        (2, 'DATA_STALE', NULL, 'OPEN', NULL), (3, 'DRIFT', 'BND', 'RESOLVED', NULL)
    ) AS n (n, kind, key, status, escalated_at);
INSERT INTO drift_states VALUES (1, 'AAPL', 2, 2, 1, 0, '2024-06-03T18:00Z'), (1, 'BND', 0, 0, 0, 0, NULL),
    (1, '', 1, 1, 0, 0, NULL);
INSERT INTO outbox (owner_id, portfolio_id, topic, subject, payload, created_at) VALUES (1, 1, 'alert', 'al_2', '{
    "event": "RAISED", "alert": {"id": "al_2", "portfolio_id": "pf_1", "base_currency": "USD", "kind": "DATA_STALE",
        "key": null, "severity": "WARNING", "status": "OPEN", "message": "Old.", "entry": null,
        "raised_at": "2024-06-03T16:00:00+00:00", "escalated_at": null, "acknowledged_at": null,
        "acknowledged_by": null, "resolved_at": null}
}', '2024-06-03T16:00Z');
"""


async def test_what_was_remembered_of_alerts_stays_and_data_alerts_begin_anew(empty_database: Endpoints) -> None:
    url = empty_database.migrate_database_url
    await migrate_to(url, "0002_rules")
    connection = await asyncpg.connect(url)
    await connection.execute(POPULATE)
    await connection.execute(ALERTED)
    await db.migrate(url)
    told = datetime(2024, 6, 3, 18, tzinfo=UTC)
    rows = await connection.fetch("SELECT key, peak, runs, told_at, acknowledged FROM drift_states ORDER BY key")
    assert [tuple(row) for row in rows] == [("AAPL", 2, [0, 0, 0], told, True), ("BND", 0, [0, 0, 0], None, False)]
    rows = await connection.fetch("SELECT kind, key, status FROM alerts ORDER BY id")
    assert [tuple(row) for row in rows] == [
        ("DRIFT", "AAPL", "ACKNOWLEDGED"),
        ("DATA_STALE", None, "RESOLVED"),
        ("DRIFT", "BND", "RESOLVED"),
    ]
    [(subject, payload)] = await connection.fetch("SELECT subject, payload FROM outbox ORDER BY id OFFSET 1")
    event, alert = alert_of_payload(json.loads(payload))
    assert (subject, event, alert.id, alert.status) == ("al_2", AlertEventKind.RESOLVED, "al_2", AlertStatus.RESOLVED)
    assert (alert.message, alert.resolved_at) == (
        "What data lacks is told of all portfolios together from now on.",
        datetime(2024, 6, 3, 16, tzinfo=UTC),
    )
    await connection.close()


async def test_policies_of_before_have_the_default_limit_of_price_moves(empty_database: Endpoints) -> None:
    url = empty_database.migrate_database_url
    await migrate_to(url, "0009_stale_scans")
    connection = await asyncpg.connect(url)
    await connection.execute(POPULATE)
    await connection.execute("""UPDATE portfolios SET policy = '{"warn_at": "50"}'""")
    await db.migrate(url)
    policy = documents.load(Policy, await connection.fetchval("SELECT policy FROM portfolios"))
    await connection.close()
    assert policy == Policy(warn_at=Decimal(50))


async def test_a_migration_that_fails_leaves_nothing(empty_database: Endpoints) -> None:
    url = empty_database.migrate_database_url
    await migrate_to(url, NAMES[0])
    connection = await asyncpg.connect(url)
    await connection.execute(POPULATE.replace("1500", "-1"))
    before = await schema_of(url)
    with pytest.raises(IntegrityError, match="tax_lots_basis_check"):
        await db.migrate(url)
    assert await schema_of(url) == before
    assert await db.pending(url) == NAMES[1:]
    await connection.close()


async def test_the_models_say_what_the_migrations_make() -> None:
    config = db._config("postgresql://nobody@nowhere/none", settings={}, command_timeout=None, pool=1)
    async with TortoiseContext() as context:
        await context.init(config=config, init_connections=False)
        assert context.apps
        assert await MigrationAutodetector(context.apps, config["apps"]).changes() == []


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE TABLE mine (id int)",
        "ALTER TABLE transactions DISABLE TRIGGER append_only",
        "DROP TRIGGER guard ON target_versions",
        "TRUNCATE outbox",
        "ALTER TABLE owners ADD COLUMN more int",
        "SET session_replication_role = replica",
    ],
)
async def test_the_application_may_not_change_tables_or_triggers(database: Endpoints, statement: str) -> None:
    connection = await asyncpg.connect(database.database_url)
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await connection.execute(statement)
    await connection.close()
