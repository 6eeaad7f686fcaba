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
    ended_at timestamptz,
    result jsonb
);
CREATE INDEX bulks_owner ON bulks (owner_id, id);
CREATE INDEX bulks_running ON bulks (id) WHERE ended_at IS NULL;
-- Items are written from the rows of portfolios, which are never deleted, by one statement that holds back who reads
-- events: keys to them and their owners double its time, which is seconds for 100,000.
CREATE TABLE bulk_items (
    bulk_id bigint NOT NULL REFERENCES bulks ON DELETE RESTRICT,
    place int NOT NULL CHECK (place > 0),
    owner_id bigint NOT NULL,
    portfolio_id bigint NOT NULL,
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
CREATE INDEX bulk_items_owners ON bulk_items (bulk_id, owner_id) WHERE status = 'WAITING';
CREATE INDEX bulk_items_plan ON bulk_items (plan_id) WHERE plan_id IS NOT NULL;
GRANT SELECT, INSERT, UPDATE ON bulks, bulk_items TO steelyard_app;
ALTER TABLE outbox DROP CONSTRAINT outbox_topic_check;
ALTER TABLE outbox ADD CONSTRAINT outbox_topic_check CHECK (topic IN ('alert', 'plan', 'portfolio', 'targets', 'bulk'));
"""

POOLS = """
-- The bulk whose pool the orders of a plan go through, and of each order the same.
ALTER TABLE plans ADD FOREIGN KEY (pool_id) REFERENCES bulks ON DELETE RESTRICT;
ALTER TABLE orders ADD COLUMN pool_id bigint REFERENCES bulks ON DELETE RESTRICT;
CREATE TABLE blocks (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    public_id uuid NOT NULL UNIQUE,
    owner_id bigint NOT NULL REFERENCES owners ON DELETE RESTRICT,
    bulk_id bigint NOT NULL REFERENCES bulks ON DELETE RESTRICT,
    client_id text NOT NULL UNIQUE,
    broker text NOT NULL CHECK (broker IN ('MANUAL', 'PAPER', 'ALPACA')),
    account_id bigint NOT NULL,
    asset_id bigint NOT NULL REFERENCES assets ON DELETE RESTRICT,
    side text NOT NULL CHECK (side IN ('BUY', 'SELL')),
    style text NOT NULL CHECK (style IN ('MARKET', 'LIMIT', 'TWAP', 'NAV')),
    quantity numeric NOT NULL CHECK (quantity > 0),
    limit_price numeric CHECK (limit_price > 0 AND limit_price < 1e12),
    status text NOT NULL CHECK (status IN (
        'PENDING', 'PLACING', 'WORKING', 'CANCELLING', 'UNKNOWN', 'FILLED', 'CANCELLED', 'REJECTED', 'EXPIRED'
    )),
    filled numeric NOT NULL DEFAULT 0 CHECK (filled >= 0 AND filled <= quantity),
    filled_value numeric NOT NULL DEFAULT 0,
    fees numeric NOT NULL DEFAULT 0,
    broker_order_id text,
    placed_at timestamptz,
    ended_at timestamptz,
    message text NOT NULL DEFAULT '',
    cause text CHECK (cause IN ('REPRICE', 'HALT', 'STOP', 'SHORT', 'SETTLED', 'UNSENT')),
    ask_at timestamptz,
    asks int NOT NULL DEFAULT 0,
    lost int NOT NULL DEFAULT 0,
    FOREIGN KEY (account_id, owner_id) REFERENCES accounts (id, owner_id) ON DELETE RESTRICT
);
CREATE INDEX blocks_owner ON blocks (owner_id, id);
CREATE INDEX blocks_bulk ON blocks (bulk_id, id);
CREATE INDEX blocks_unended ON blocks (ask_at)
    WHERE status IN ('PENDING', 'PLACING', 'WORKING', 'CANCELLING', 'UNKNOWN');
-- Orders of plans, as the pool has them. Those that are WORKING and in no block wait to be put into one.
-- `account_broker_id` is whose fees are paid; `has_news` says that their plans are to be told.
CREATE TABLE pool_orders (
    client_id text PRIMARY KEY REFERENCES orders (client_id) ON DELETE RESTRICT,
    owner_id bigint NOT NULL REFERENCES owners ON DELETE RESTRICT,
    bulk_id bigint NOT NULL REFERENCES bulks ON DELETE RESTRICT,
    broker text NOT NULL,
    account_broker_id bigint REFERENCES brokers ON DELETE RESTRICT,
    account_id bigint NOT NULL REFERENCES accounts ON DELETE RESTRICT,
    asset_id bigint NOT NULL REFERENCES assets ON DELETE RESTRICT,
    side text NOT NULL,
    style text NOT NULL,
    quantity numeric NOT NULL CHECK (quantity > 0),
    limit_price numeric,
    arrived_at timestamptz NOT NULL,
    status text NOT NULL DEFAULT 'WORKING' CHECK (status IN ('WORKING', 'FILLED', 'CANCELLED', 'REJECTED', 'EXPIRED')),
    message text NOT NULL DEFAULT '',
    leave_asked_at timestamptz,
    block_id bigint REFERENCES blocks ON DELETE RESTRICT,
    has_news boolean NOT NULL DEFAULT false
);
CREATE INDEX pool_orders_waiting ON pool_orders (bulk_id, arrived_at) WHERE status = 'WORKING' AND block_id IS NULL;
CREATE INDEX pool_orders_block ON pool_orders (block_id) WHERE block_id IS NOT NULL;
CREATE INDEX pool_orders_news ON pool_orders (bulk_id, owner_id, client_id) WHERE has_news;
CREATE TABLE block_members (
    block_id bigint NOT NULL REFERENCES blocks ON DELETE RESTRICT,
    place int NOT NULL CHECK (place > 0),
    owner_id bigint NOT NULL REFERENCES owners ON DELETE RESTRICT,
    client_id text NOT NULL REFERENCES pool_orders ON DELETE RESTRICT,
    quantity numeric NOT NULL CHECK (quantity > 0),
    PRIMARY KEY (block_id, place),
    UNIQUE (block_id, client_id)
);
CREATE INDEX block_members_order ON block_members (client_id, block_id);
CREATE TABLE block_fills (
    block_id bigint NOT NULL REFERENCES blocks ON DELETE RESTRICT,
    number int NOT NULL CHECK (number > 0),
    owner_id bigint NOT NULL REFERENCES owners ON DELETE RESTRICT,
    broker_fill_id text NOT NULL,
    quantity numeric NOT NULL CHECK (quantity > 0),
    price numeric NOT NULL CHECK (price > 0),
    fee numeric NOT NULL CHECK (fee >= 0),
    filled_at timestamptz NOT NULL,
    PRIMARY KEY (block_id, number),
    UNIQUE (block_id, broker_fill_id)
);
-- What of a block's fill an order of it got, handed out after so many of its fills were known.
CREATE TABLE block_pieces (
    block_id bigint NOT NULL,
    client_id text NOT NULL,
    fill int NOT NULL,
    since int NOT NULL CHECK (since >= fill),
    owner_id bigint NOT NULL REFERENCES owners ON DELETE RESTRICT,
    quantity numeric NOT NULL CHECK (quantity > 0),
    fee numeric NOT NULL CHECK (fee >= 0),
    PRIMARY KEY (client_id, block_id, since, fill),
    FOREIGN KEY (block_id, fill) REFERENCES block_fills (block_id, number) ON DELETE RESTRICT,
    FOREIGN KEY (block_id, client_id) REFERENCES block_members (block_id, client_id) ON DELETE RESTRICT
);
CREATE INDEX block_pieces_block ON block_pieces (block_id);
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON block_fills FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER no_truncate BEFORE TRUNCATE ON block_fills EXECUTE FUNCTION refuse_change();
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON block_pieces FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER no_truncate BEFORE TRUNCATE ON block_pieces EXECUTE FUNCTION refuse_change();
GRANT SELECT, INSERT, UPDATE ON blocks, pool_orders TO steelyard_app;
GRANT SELECT, INSERT ON block_members, block_fills, block_pieces TO steelyard_app;
"""

PINNED = """
CREATE FUNCTION refuse_other_inputs() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'what a plan was made from never changes' USING ERRCODE = '23001';
END $$;
CREATE TRIGGER inputs_stay BEFORE UPDATE OF inputs, inputs_digest ON plans FOR EACH ROW
    WHEN ((OLD.inputs IS NOT NULL OR OLD.inputs_digest IS NOT NULL)
        AND (NEW.inputs IS DISTINCT FROM OLD.inputs OR NEW.inputs_digest IS DISTINCT FROM OLD.inputs_digest))
    EXECUTE FUNCTION refuse_other_inputs();
"""

# What people record is of orders or blocks.
RECORDED = """
ALTER TABLE manual_fills DROP CONSTRAINT manual_fills_client_id_fkey;
ALTER TABLE manual_ends DROP CONSTRAINT manual_ends_client_id_fkey;
"""

# A person may say how an order ended whose broker cannot.
SETTLED = """
ALTER TABLE orders
    DROP CONSTRAINT orders_cause_check,
    ADD CONSTRAINT orders_cause_check CHECK (cause IN ('REPRICE', 'HALT', 'STOP', 'SHORT', 'SETTLED', 'UNSENT'));
"""

COPIES = """
-- The most units that were ever handed in under the client id; 0 where it was never handed in since this is kept.
ALTER TABLE orders ADD COLUMN handed_in numeric NOT NULL DEFAULT 0 CHECK (handed_in >= 0 AND handed_in < 1e15);
"""

READY = """
-- Who looks for plans that are no longer good goes through those that are READY, and not through all of the past.
CREATE INDEX plans_ready ON plans (id) INCLUDE (portfolio_id, expires_at) WHERE status = 'READY';
"""


class Migration(migrations.Migration):
    dependencies = [("store", "0013_execution")]
    operations = [
        # The model portfolio that it follows, by name.
        ops.AddField("PortfolioRow", "model", fields.CharField(max_length=100, null=True)),
        ops.AddField("PlanRow", "pool_id", fields.BigIntField(null=True)),
        ops.RunSQL([BULKS, POOLS, PINNED, SETTLED, RECORDED, COPIES, READY]),
    ]
