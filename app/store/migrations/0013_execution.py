"""Plans are approved and executed: orders, their fills, halts, and what the paper broker keeps for itself."""

from orjson import loads
from tortoise import fields, migrations
from tortoise.fields.data import JSON_DUMPS
from tortoise.migrations import operations as ops

PLANS = """
ALTER TABLE plans
    DROP CONSTRAINT plans_status_check,
    ADD CONSTRAINT plans_status_check CHECK (status IN (
        'QUEUED', 'COMPUTING', 'READY', 'NOTHING_TO_DO', 'APPROVED', 'EXECUTING', 'COMPLETED', 'PARTIAL', 'REJECTED',
        'EXPIRED', 'SUPERSEDED', 'CANCELLED', 'FAILED'
    ));
DROP INDEX plans_open;
CREATE UNIQUE INDEX plans_open ON plans (portfolio_id)
    WHERE status IN ('QUEUED', 'COMPUTING', 'READY', 'APPROVED', 'EXECUTING');
-- Who works on what is approved looks for it; so does the clock that wakes it.
CREATE INDEX plans_executing ON plans (wake_at) WHERE status IN ('APPROVED', 'EXECUTING');
ALTER TABLE plan_trades ADD COLUMN execution jsonb, ADD COLUMN approved boolean NOT NULL DEFAULT true;
GRANT UPDATE (approved) ON plan_trades TO steelyard_app;
-- A policy without it has no such limit: those written before it existed get the default.
UPDATE portfolios SET policy = '{"price_move_limit": "5"}' || policy;
"""

ORDERS = """
ALTER TABLE alerts DROP CONSTRAINT alerts_kind_check;
ALTER TABLE alerts
    ADD CONSTRAINT alerts_kind_check CHECK (
        kind IN ('DRIFT', 'UNTARGETED', 'DATA_STALE', 'PLAN_READY', 'ORDER_UNKNOWN')
    );
ALTER TABLE accounts ADD CHECK (execution IN ('MANUAL', 'PAPER', 'ALPACA'));
CREATE TABLE orders (
    plan_id bigint NOT NULL REFERENCES plans ON DELETE RESTRICT,
    leg int NOT NULL CHECK (leg > 0),
    slice int NOT NULL CHECK (slice > 0),
    owner_id bigint NOT NULL REFERENCES owners ON DELETE RESTRICT,
    public_id uuid NOT NULL UNIQUE,
    client_id text NOT NULL UNIQUE,
    broker text NOT NULL CHECK (broker IN ('MANUAL', 'PAPER', 'ALPACA')),
    account_id bigint NOT NULL,
    asset_id bigint NOT NULL REFERENCES assets ON DELETE RESTRICT,
    side text NOT NULL CHECK (side IN ('BUY', 'SELL')),
    style text NOT NULL CHECK (style IN ('MARKET', 'LIMIT', 'TWAP', 'NAV')),
    quantity numeric NOT NULL CHECK (quantity > 0 AND quantity < 1e15),
    limit_price numeric CHECK (limit_price > 0 AND limit_price < 1e12),
    due_at timestamptz NOT NULL,
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
    cause text CHECK (cause IN ('REPRICE', 'HALT', 'STOP', 'SHORT')),
    ask_at timestamptz,
    asks int NOT NULL DEFAULT 0,
    lost int NOT NULL DEFAULT 0,
    PRIMARY KEY (plan_id, leg, slice),
    FOREIGN KEY (account_id, owner_id) REFERENCES accounts (id, owner_id) ON DELETE RESTRICT
);
CREATE INDEX orders_unended ON orders (plan_id)
    WHERE status IN ('PENDING', 'PLACING', 'WORKING', 'CANCELLING', 'UNKNOWN');
CREATE TABLE fills (
    plan_id bigint NOT NULL,
    leg int NOT NULL,
    slice int NOT NULL,
    broker_fill_id text NOT NULL,
    owner_id bigint NOT NULL REFERENCES owners ON DELETE RESTRICT,
    public_id uuid NOT NULL UNIQUE,
    quantity numeric NOT NULL CHECK (quantity > 0 AND quantity < 1e15),
    price numeric NOT NULL CHECK (price > 0 AND price < 1e12),
    fee numeric NOT NULL,
    filled_at timestamptz NOT NULL,
    booked_at timestamptz NOT NULL,
    PRIMARY KEY (plan_id, leg, slice, broker_fill_id),
    FOREIGN KEY (plan_id, leg, slice) REFERENCES orders (plan_id, leg, slice) ON DELETE RESTRICT
);
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON fills FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER no_truncate BEFORE TRUNCATE ON fills EXECUTE FUNCTION refuse_change();
-- One row: nobody's orders are sent while trading is halted for all.
CREATE TABLE trading_halt (
    id smallint PRIMARY KEY DEFAULT 1 CHECK (id = 1),
    halted_at timestamptz,
    halted_by text NOT NULL DEFAULT '',
    reason text NOT NULL DEFAULT ''
);
INSERT INTO trading_halt (id) VALUES (1);
GRANT SELECT, INSERT, UPDATE ON orders TO steelyard_app;
GRANT SELECT, INSERT ON fills TO steelyard_app;
GRANT SELECT, UPDATE ON trading_halt TO steelyard_app;
"""

BOOKS = """
-- What a fill sold of a lot. `is_loss`: the wash rule asks about it; `in_batch`: the run of sales it is in may go on.
CREATE TABLE lot_sales (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    public_id uuid NOT NULL UNIQUE,
    owner_id bigint NOT NULL REFERENCES owners ON DELETE RESTRICT,
    plan_id bigint NOT NULL,
    leg int NOT NULL,
    slice int NOT NULL,
    broker_fill_id text NOT NULL,
    account_id bigint NOT NULL,
    asset_id bigint NOT NULL REFERENCES assets ON DELETE RESTRICT,
    lot_public_id uuid NOT NULL,
    purchase_id uuid NOT NULL,
    quantity numeric NOT NULL CHECK (quantity > 0),
    proceeds numeric NOT NULL,
    basis numeric NOT NULL CHECK (basis >= 0),
    acquired_on date NOT NULL,
    holding_from date NOT NULL,
    sold_on date NOT NULL,
    is_loss boolean NOT NULL,
    in_batch boolean NOT NULL,
    FOREIGN KEY (plan_id, leg, slice, broker_fill_id) REFERENCES fills ON DELETE RESTRICT,
    FOREIGN KEY (account_id, owner_id) REFERENCES accounts (id, owner_id) ON DELETE RESTRICT
);
CREATE INDEX lot_sales_account ON lot_sales (account_id, sold_on);
CREATE INDEX lot_sales_plan ON lot_sales (plan_id);
-- Units of a lot that replaced units sold at a loss: those of a fill, or of a sale that was only told of.
CREATE TABLE replacements (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    owner_id bigint NOT NULL REFERENCES owners ON DELETE RESTRICT,
    sale_id bigint REFERENCES lot_sales ON DELETE RESTRICT,
    told_id bigint REFERENCES transactions ON DELETE RESTRICT,
    lot_public_id uuid NOT NULL,
    quantity numeric NOT NULL CHECK (quantity > 0),
    loss numeric NOT NULL CHECK (loss >= 0),
    permanent boolean NOT NULL,
    held_from date NOT NULL,
    CHECK (num_nonnulls(sale_id, told_id) = 1)
);
CREATE INDEX replacements_sale ON replacements (sale_id);
CREATE INDEX replacements_told ON replacements (told_id) WHERE told_id IS NOT NULL;
CREATE INDEX tax_lots_purchase ON tax_lots (purchase_id) WHERE purchase_id IS NOT NULL;
-- What a broker has done is booked even if it cost more than the account had; nobody else may say so.
ALTER TABLE account_cash ADD COLUMN overdrawn boolean NOT NULL DEFAULT false,
    DROP CONSTRAINT account_cash_amount_check,
    ADD CONSTRAINT account_cash_amount_check CHECK (abs(amount) < 1e27 AND (amount >= 0 OR overdrawn));
ALTER TABLE alerts DROP CONSTRAINT alerts_kind_check,
    ADD CONSTRAINT alerts_kind_check CHECK (
        kind IN ('DRIFT', 'UNTARGETED', 'DATA_STALE', 'PLAN_READY', 'ORDER_UNKNOWN', 'BOOKS_DIFFER')
    );
CREATE INDEX accounts_reconciled ON accounts (reconciled_at) WHERE execution <> 'MANUAL';
CREATE INDEX plans_ended ON plans (portfolio_id, ended_at) WHERE ended_at IS NOT NULL;
GRANT SELECT, INSERT ON lot_sales TO steelyard_app;
GRANT UPDATE (in_batch) ON lot_sales TO steelyard_app;
GRANT SELECT, INSERT, DELETE ON replacements TO steelyard_app;
"""

# The paper broker's own books: it is told tickets by client id and knows no owner, plan or portfolio.
PAPER = """
CREATE TABLE paper_orders (
    client_id text PRIMARY KEY,
    account_ref text NOT NULL,
    asset_id bigint NOT NULL REFERENCES assets ON DELETE RESTRICT,
    side text NOT NULL CHECK (side IN ('BUY', 'SELL')),
    style text NOT NULL,
    quantity numeric NOT NULL CHECK (quantity > 0),
    limit_price numeric,
    status text NOT NULL CHECK (status IN ('WORKING', 'FILLED', 'CANCELLED', 'REJECTED', 'EXPIRED')),
    message text NOT NULL DEFAULT '',
    placed_at timestamptz NOT NULL,
    seen_until timestamptz NOT NULL
);
CREATE TABLE paper_fills (
    client_id text NOT NULL REFERENCES paper_orders ON DELETE RESTRICT,
    number int NOT NULL,
    quantity numeric NOT NULL CHECK (quantity > 0),
    price numeric NOT NULL CHECK (price > 0),
    fee numeric NOT NULL,
    filled_at timestamptz NOT NULL,
    PRIMARY KEY (client_id, number)
);
GRANT SELECT, INSERT, UPDATE ON paper_orders TO steelyard_app;
GRANT SELECT, INSERT ON paper_fills TO steelyard_app;
"""

# What a person says of orders worked by hand. The broker's side of them: they are booked from here like any other's.
MANUAL = """
CREATE TABLE manual_fills (
    client_id text NOT NULL REFERENCES orders (client_id) ON DELETE RESTRICT,
    fill_id text NOT NULL,
    owner_id bigint NOT NULL REFERENCES owners ON DELETE RESTRICT,
    quantity numeric NOT NULL CHECK (quantity > 0 AND quantity < 1e15),
    price numeric NOT NULL CHECK (price > 0 AND price < 1e12),
    fee numeric NOT NULL CHECK (fee >= 0 AND fee < 1e27),
    filled_at timestamptz NOT NULL,
    recorded_by text NOT NULL,
    recorded_at timestamptz NOT NULL,
    PRIMARY KEY (client_id, fill_id)
);
CREATE TABLE manual_ends (
    client_id text PRIMARY KEY REFERENCES orders (client_id) ON DELETE RESTRICT,
    owner_id bigint NOT NULL REFERENCES owners ON DELETE RESTRICT,
    recorded_by text NOT NULL,
    recorded_at timestamptz NOT NULL
);
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON manual_fills FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER no_truncate BEFORE TRUNCATE ON manual_fills EXECUTE FUNCTION refuse_change();
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON manual_ends FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER no_truncate BEFORE TRUNCATE ON manual_ends EXECUTE FUNCTION refuse_change();
GRANT SELECT, INSERT ON manual_fills, manual_ends TO steelyard_app;
"""


class Migration(migrations.Migration):
    dependencies = [("store", "0012_progress")]
    operations = [
        ops.AddField("PlanRow", "approved_by", fields.CharField(max_length=255, null=True)),
        ops.AddField("PlanRow", "approved_at", fields.DatetimeField(null=True)),
        # What of it was approved where trades were left out: totals, and drift after the rest.
        ops.AddField("PlanRow", "approved", fields.JSONField(null=True, encoder=JSON_DUMPS, decoder=loads)),
        ops.AddField("PlanRow", "reason", fields.TextField(null=True)),
        ops.AddField("PlanRow", "cancel_asked_by", fields.CharField(max_length=255, null=True)),
        ops.AddField("PlanRow", "cancel_asked_at", fields.DatetimeField(null=True)),
        ops.AddField("PlanRow", "wake_at", fields.DatetimeField(null=True)),
        ops.AddField("PlanRow", "ended_at", fields.DatetimeField(null=True)),
        ops.AddField("PlanRow", "outcome", fields.JSONField(null=True, encoder=JSON_DUMPS, decoder=loads)),
        ops.AddField("PlanRow", "inputs", fields.BinaryField(null=True)),
        ops.AddField("AccountRow", "execution", fields.CharField(max_length=16, db_default="MANUAL")),
        ops.AddField("AccountRow", "reconciled_at", fields.DatetimeField(null=True)),
        ops.AddField("AccountRow", "asked_at", fields.DatetimeField(null=True)),
        ops.AddField("PortfolioRow", "halted_at", fields.DatetimeField(null=True)),
        ops.AddField("TaxLotRow", "purchase_id", fields.UUIDField(null=True)),
        ops.AddField("TaxLotRow", "replaced", fields.BooleanField(db_default=False)),
        ops.AddField("TransactionRow", "booked", fields.BooleanField(db_default=False)),
        ops.RunSQL([PLANS, ORDERS, BOOKS, PAPER, MANUAL]),
    ]
