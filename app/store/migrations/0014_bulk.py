"""Bulks: one thing for many portfolios. Pools: their orders in one asset are put together and filled pro rata."""

from tortoise import fields, migrations
from tortoise.migrations import operations as ops

BULKS = """
CREATE INDEX portfolios_model ON portfolios (owner_id, model) WHERE model IS NOT NULL;
CREATE TABLE bulks (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    public_id uuid NOT NULL UNIQUE,
    owner_id bigint NOT NULL REFERENCES owners ON DELETE RESTRICT,
    kind text NOT NULL CHECK (kind IN ('PROPOSE', 'APPROVE')),
    status text NOT NULL CHECK (status IN ('RUNNING', 'DONE', 'CANCELLED')),
    draft jsonb NOT NULL,
    actor text NOT NULL,
    created_at timestamptz NOT NULL,
    ended_at timestamptz
);
CREATE INDEX bulks_owner ON bulks (owner_id, id);
CREATE INDEX bulks_running ON bulks (id) WHERE status = 'RUNNING';
CREATE TABLE bulk_items (
    bulk_id bigint NOT NULL REFERENCES bulks ON DELETE RESTRICT,
    place int NOT NULL CHECK (place > 0),
    owner_id bigint NOT NULL REFERENCES owners ON DELETE RESTRICT,
    portfolio_id bigint NOT NULL REFERENCES portfolios ON DELETE RESTRICT,
    plan_id bigint REFERENCES plans ON DELETE RESTRICT,
    plan_version int,
    status text NOT NULL DEFAULT 'WAITING' CHECK (status IN (
        'WAITING', 'READY', 'NOTHING_TO_DO', 'FAILED', 'APPROVED', 'REFUSED', 'CANCELLED'
    )),
    code text NOT NULL DEFAULT '',
    message text NOT NULL DEFAULT '',
    leased_until timestamptz,
    ended_at timestamptz,
    PRIMARY KEY (bulk_id, place),
    UNIQUE (bulk_id, portfolio_id)
);
CREATE INDEX bulk_items_waiting ON bulk_items (bulk_id, place) WHERE status = 'WAITING';
CREATE INDEX bulk_items_plan ON bulk_items (plan_id) WHERE plan_id IS NOT NULL;
GRANT SELECT, INSERT, UPDATE ON bulks, bulk_items TO steelyard_app;
"""

POOLS = """
-- The bulk whose pool the orders of a plan go through, and of each order the same.
ALTER TABLE plans ADD FOREIGN KEY (pool_id) REFERENCES bulks ON DELETE RESTRICT;
ALTER TABLE orders ADD COLUMN pool_id bigint REFERENCES bulks ON DELETE RESTRICT;
"""


class Migration(migrations.Migration):
    dependencies = [("store", "0013_execution")]
    operations = [
        # The model portfolio that it follows, by name.
        ops.AddField("PortfolioRow", "model", fields.CharField(max_length=100, null=True)),
        ops.AddField("PlanRow", "pool_id", fields.BigIntField(null=True)),
        *(ops.RunSQL(sql) for sql in (BULKS, POOLS)),
    ]
