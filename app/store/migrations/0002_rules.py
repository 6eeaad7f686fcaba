"""What models cannot say: composite keys, partitions, checks, sealed targets, append-only history, events, rights."""

from tortoise import migrations
from tortoise.migrations import operations as ops

# NaN is above every number in PostgreSQL, so an upper bound refuses it too.
CHECKS = """
ALTER TABLE assets
    ADD CHECK (asset_class IN ('STOCK', 'ETF', 'FUND', 'BOND', 'CRYPTO', 'COMMODITY', 'CASH', 'OTHER')),
    ADD CHECK (quantity_step >= 0 AND quantity_step < 1e15),
    ADD CHECK (price_step >= 0 AND price_step < 1e12),
    ADD CHECK (min_notional >= 0 AND min_notional < 1e27),
    ADD CHECK (fee_fixed >= 0 AND fee_fixed < 1e27),
    ADD CHECK (fee_rate >= 0 AND fee_rate < 1e12),
    ADD CHECK (fee_minimum >= 0 AND fee_minimum < 1e27),
    ADD CHECK (half_spread >= 0 AND half_spread < 1e12);
CREATE INDEX assets_cash ON assets (id) WHERE asset_class = 'CASH';
ALTER TABLE portfolios ADD CHECK (status IN ('ACTIVE', 'PAUSED', 'ARCHIVED')), ADD CHECK (version > 0);
CREATE INDEX portfolios_active ON portfolios (id) WHERE status = 'ACTIVE';
ALTER TABLE accounts ADD CHECK (kind IN ('TAXABLE', 'TAX_DEFERRED', 'TAX_EXEMPT'));
ALTER TABLE tax_lots
    ADD CHECK (quantity > 0 AND quantity < 1e15),
    ADD CHECK (basis >= 0 AND basis < 1e27),
    ADD CHECK (origin <> '');
ALTER TABLE transactions
    ADD CHECK (side IN ('BUY', 'SELL', 'ADJUST', 'DEPOSIT', 'WITHDRAW')),
    ADD CHECK (abs(quantity) < 1e15 AND abs(amount) < 1e27),
    ADD CHECK (price >= 0 AND price < 1e12),
    ADD CHECK (fees >= 0 AND fees < 1e27);
ALTER TABLE target_versions ADD CHECK (version > 0);
ALTER TABLE target_allocations
    ADD CHECK (percent BETWEEN 0 AND 100),
    ADD CHECK (key <> '');
ALTER TABLE alerts
    ADD CHECK (kind IN ('DRIFT', 'DATA_STALE')),
    ADD CHECK (severity IN ('INFO', 'WARNING', 'CRITICAL')),
    ADD CHECK (status IN ('OPEN', 'ACKNOWLEDGED', 'RESOLVED'));
CREATE UNIQUE INDEX alerts_unresolved ON alerts (portfolio_id, kind, coalesce(key, '')) WHERE status <> 'RESOLVED';
ALTER TABLE plans ADD CHECK (
    status IN ('QUEUED', 'COMPUTING', 'READY', 'NOTHING_TO_DO', 'EXPIRED', 'SUPERSEDED', 'FAILED')
);
CREATE UNIQUE INDEX plans_open ON plans (portfolio_id) WHERE status IN ('QUEUED', 'COMPUTING', 'READY');
ALTER TABLE scan_runs ADD CHECK (status IN ('RUNNING', 'DONE')), ADD CHECK (period_s > 0);
CREATE INDEX scan_runs_running ON scan_runs (bucket) WHERE status = 'RUNNING';
"""

# What hangs on a portfolio or an account has the same owner.
OWNERS = """
ALTER TABLE portfolios ADD UNIQUE (id, owner_id);
ALTER TABLE accounts ADD UNIQUE (id, owner_id);
ALTER TABLE accounts ADD FOREIGN KEY (portfolio_id, owner_id) REFERENCES portfolios (id, owner_id) ON DELETE RESTRICT;
ALTER TABLE target_versions
    ADD FOREIGN KEY (portfolio_id, owner_id) REFERENCES portfolios (id, owner_id) ON DELETE RESTRICT;
ALTER TABLE alerts ADD FOREIGN KEY (portfolio_id, owner_id) REFERENCES portfolios (id, owner_id) ON DELETE RESTRICT;
ALTER TABLE plans ADD FOREIGN KEY (portfolio_id, owner_id) REFERENCES portfolios (id, owner_id) ON DELETE RESTRICT;
ALTER TABLE tax_lots ADD FOREIGN KEY (account_id, owner_id) REFERENCES accounts (id, owner_id) ON DELETE RESTRICT;
ALTER TABLE transactions ADD FOREIGN KEY (account_id, owner_id) REFERENCES accounts (id, owner_id) ON DELETE RESTRICT;
"""

TABLES = """
CREATE TABLE prices (
    asset_id bigint PRIMARY KEY REFERENCES assets ON DELETE RESTRICT,
    price numeric(38,18) NOT NULL CHECK (price > 0 AND price < 1e12),
    priced_at timestamptz NOT NULL,
    source text NOT NULL,
    recorded_at timestamptz NOT NULL
);
CREATE TABLE price_history (
    asset_id bigint NOT NULL REFERENCES assets ON DELETE RESTRICT,
    priced_at timestamptz NOT NULL,
    price numeric(38,18) NOT NULL CHECK (price > 0 AND price < 1e12),
    source text NOT NULL,
    PRIMARY KEY (asset_id, priced_at)
);
CREATE TABLE account_cash (
    account_id bigint NOT NULL REFERENCES accounts ON DELETE RESTRICT,
    currency text NOT NULL,
    amount numeric(38,10) NOT NULL CHECK (amount >= 0 AND amount < 1e27),
    PRIMARY KEY (account_id, currency)
);
-- Without foreign keys: they would double what the COPY of a scan costs.
CREATE TABLE drift_logs (
    portfolio_id bigint NOT NULL,
    bucket timestamptz NOT NULL,
    owner_id bigint NOT NULL,
    as_of timestamptz NOT NULL,
    targets_version int,
    status text NOT NULL,
    value numeric,
    cash numeric,
    base numeric,
    max_abs_drift numeric,
    turnover numeric,
    breaches int NOT NULL,
    prices_at timestamptz,
    missing text[] NOT NULL,
    stale text[] NOT NULL,
    entries jsonb NOT NULL,
    PRIMARY KEY (portfolio_id, bucket)
) PARTITION BY RANGE (bucket);
CREATE TABLE drift_states (
    portfolio_id bigint NOT NULL REFERENCES portfolios ON DELETE RESTRICT,
    key text NOT NULL,
    level smallint NOT NULL,
    peak smallint NOT NULL,
    rising int NOT NULL,
    falling int NOT NULL,
    bucket timestamptz,
    PRIMARY KEY (portfolio_id, key)
);
CREATE TABLE plan_trades (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    public_id uuid NOT NULL UNIQUE,
    plan_id bigint NOT NULL REFERENCES plans ON DELETE RESTRICT,
    owner_id bigint NOT NULL REFERENCES owners ON DELETE RESTRICT,
    sequence int NOT NULL,
    key text NOT NULL,
    asset_id bigint NOT NULL REFERENCES assets ON DELETE RESTRICT,
    account_id bigint NOT NULL REFERENCES accounts ON DELETE RESTRICT,
    side text NOT NULL CHECK (side IN ('BUY', 'SELL')),
    quantity numeric NOT NULL CHECK (quantity > 0 AND quantity < 1e15),
    price numeric NOT NULL,
    currency text NOT NULL,
    priced_at timestamptz NOT NULL,
    source text NOT NULL,
    value numeric NOT NULL,
    fee numeric NOT NULL,
    spread numeric NOT NULL,
    reason text NOT NULL,
    explanation text NOT NULL,
    UNIQUE (plan_id, sequence)
);
CREATE TABLE plan_lot_sales (
    trade_id bigint NOT NULL REFERENCES plan_trades ON DELETE RESTRICT,
    position int NOT NULL,
    lot_public_id uuid NOT NULL,
    lot_quantity numeric NOT NULL,
    lot_basis numeric NOT NULL,
    acquired_on date NOT NULL,
    holding_from date NOT NULL,
    quantity numeric NOT NULL,
    proceeds numeric NOT NULL,
    basis numeric NOT NULL,
    gain numeric NOT NULL,
    term text NOT NULL CHECK (term IN ('SHORT', 'LONG')),
    PRIMARY KEY (trade_id, position)
);
CREATE TABLE plan_skips (
    plan_id bigint NOT NULL REFERENCES plans ON DELETE RESTRICT,
    position int NOT NULL,
    key text NOT NULL,
    asset_id bigint REFERENCES assets ON DELETE RESTRICT,
    side text NOT NULL CHECK (side IN ('BUY', 'SELL')),
    value numeric NOT NULL,
    reason text NOT NULL,
    explanation text NOT NULL,
    PRIMARY KEY (plan_id, position)
);
CREATE TABLE rebalance_history (
    portfolio_id bigint NOT NULL REFERENCES portfolios ON DELETE RESTRICT,
    sequence int NOT NULL,
    owner_id bigint NOT NULL REFERENCES owners ON DELETE RESTRICT,
    kind text NOT NULL,
    subject text NOT NULL,
    actor text NOT NULL,
    at timestamptz NOT NULL,
    previous_hash text NOT NULL,
    hash text NOT NULL,
    canonical text NOT NULL,
    PRIMARY KEY (portfolio_id, sequence)
);
CREATE TABLE outbox (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    xid xid8 NOT NULL DEFAULT pg_current_xact_id(),
    owner_id bigint NOT NULL,
    portfolio_id bigint NOT NULL,
    topic text NOT NULL CHECK (topic IN ('alert', 'plan', 'targets', 'portfolio')),
    subject text NOT NULL,
    payload jsonb NOT NULL,
    created_at timestamptz NOT NULL
);
CREATE INDEX outbox_owner ON outbox (owner_id, xid, id);
CREATE INDEX outbox_order ON outbox (xid, id);
CREATE TABLE scan_chunks (
    bucket timestamptz NOT NULL REFERENCES scan_runs (bucket) ON DELETE RESTRICT,
    number int NOT NULL,
    from_id bigint NOT NULL,
    to_id bigint NOT NULL CHECK (to_id >= from_id),
    done_at timestamptz,
    scanned int NOT NULL DEFAULT 0,
    breached int NOT NULL DEFAULT 0,
    alerts int NOT NULL DEFAULT 0,
    failed int NOT NULL DEFAULT 0,
    PRIMARY KEY (bucket, number)
);
CREATE INDEX scan_chunks_open ON scan_chunks (bucket, number) WHERE done_at IS NULL;
CREATE TABLE scan_prices (
    bucket timestamptz NOT NULL,
    asset_id bigint NOT NULL,
    price numeric NOT NULL,
    priced_at timestamptz NOT NULL,
    source text NOT NULL,
    PRIMARY KEY (bucket, asset_id)
);
CREATE TABLE idempotency_keys (
    owner_id bigint NOT NULL REFERENCES owners ON DELETE RESTRICT,
    key text NOT NULL,
    operation text NOT NULL,
    request_digest text NOT NULL,
    response jsonb,
    created_at timestamptz NOT NULL,
    PRIMARY KEY (owner_id, key)
);
-- One row. Until it is moved, the domain's time is the wall's.
CREATE TABLE domain_clock (
    id smallint PRIMARY KEY DEFAULT 1 CHECK (id = 1),
    anchored_wall timestamptz NOT NULL,
    anchored_domain timestamptz NOT NULL,
    rate numeric NOT NULL CHECK (rate >= 0 AND rate < 1e9)
);
INSERT INTO domain_clock (anchored_wall, anchored_domain, rate) VALUES ('epoch', 'epoch', 1);
"""

# A live portfolio points only to a sealed version of its own. Sealing checks the sum in a row that every write to an
# entry has changed, so the two can never pass each other; a repeatable-read transaction fails instead of being late.
TARGETS = """
ALTER TABLE portfolios
    ADD COLUMN targets_sealed boolean NOT NULL GENERATED ALWAYS AS (true) STORED,
    ADD FOREIGN KEY (id, targets_id, targets_sealed)
        REFERENCES target_versions (portfolio_id, id, sealed) ON DELETE RESTRICT;

CREATE FUNCTION guard_target_version() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, public AS $$
DECLARE
    total numeric;
BEGIN
    IF TG_OP = 'INSERT' THEN
        IF NEW.sealed THEN
            RAISE EXCEPTION 'a version of targets is sealed after its entries are written' USING ERRCODE = '23001';
        END IF;
        RETURN NEW;
    END IF;
    IF OLD.sealed THEN
        RAISE EXCEPTION 'version % of the targets is sealed; write a new one', OLD.version USING ERRCODE = '23001';
    END IF;
    IF TG_OP = 'DELETE' THEN
        RETURN OLD;
    END IF;
    IF NEW.sealed THEN
        SELECT coalesce(sum(percent), 0) INTO total FROM target_allocations WHERE target_version_id = NEW.id;
        IF total <> 100 THEN
            RAISE EXCEPTION 'targets sum to %; % is %', trim_scale(total), trim_scale(abs(100 - total)),
                CASE WHEN total < 100 THEN 'missing' ELSE 'too much' END USING ERRCODE = '23514';
        END IF;
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER guard BEFORE INSERT OR UPDATE OR DELETE ON target_versions
    FOR EACH ROW EXECUTE FUNCTION guard_target_version();

CREATE FUNCTION guard_target_allocations() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, public AS $$
DECLARE
    open_versions bigint;
    versions bigint[];
BEGIN
    SELECT array_agg(DISTINCT target_version_id ORDER BY target_version_id) INTO versions FROM written;
    IF versions IS NULL THEN
        RETURN NULL;
    END IF;
    UPDATE target_versions SET changes = changes + 1 WHERE id = ANY (versions) AND NOT sealed;
    GET DIAGNOSTICS open_versions = ROW_COUNT;
    IF open_versions < cardinality(versions) THEN
        RAISE EXCEPTION 'the entries of sealed targets do not change; write a new version' USING ERRCODE = '23001';
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER guard_insert AFTER INSERT ON target_allocations REFERENCING NEW TABLE AS written
    FOR EACH STATEMENT EXECUTE FUNCTION guard_target_allocations();
CREATE TRIGGER guard_update_old AFTER UPDATE ON target_allocations REFERENCING OLD TABLE AS written
    FOR EACH STATEMENT EXECUTE FUNCTION guard_target_allocations();
CREATE TRIGGER guard_update_new AFTER UPDATE ON target_allocations REFERENCING NEW TABLE AS written
    FOR EACH STATEMENT EXECUTE FUNCTION guard_target_allocations();
CREATE TRIGGER guard_delete AFTER DELETE ON target_allocations REFERENCING OLD TABLE AS written
    FOR EACH STATEMENT EXECUTE FUNCTION guard_target_allocations();
"""

HISTORY = """
CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% is append-only', TG_TABLE_NAME USING ERRCODE = '23001';
END $$;
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON rebalance_history
    FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON transactions FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER no_truncate BEFORE TRUNCATE ON rebalance_history EXECUTE FUNCTION refuse_change();
CREATE TRIGGER no_truncate BEFORE TRUNCATE ON transactions EXECUTE FUNCTION refuse_change();
CREATE TRIGGER no_truncate BEFORE TRUNCATE ON target_versions EXECUTE FUNCTION refuse_change();
CREATE TRIGGER no_truncate BEFORE TRUNCATE ON target_allocations EXECUTE FUNCTION refuse_change();

-- The chain is made here and not by the writer, under the portfolio's lock: no gap, no branch, nothing forged.
CREATE FUNCTION chain_history() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, public AS $$
DECLARE
    last record;
BEGIN
    PERFORM 1 FROM portfolios WHERE id = NEW.portfolio_id FOR NO KEY UPDATE;
    SELECT sequence, hash INTO last FROM rebalance_history
        WHERE portfolio_id = NEW.portfolio_id ORDER BY sequence DESC LIMIT 1;
    NEW.sequence := coalesce(last.sequence, 0) + 1;
    NEW.previous_hash := coalesce(last.hash, repeat('0', 64));
    NEW.hash := encode(sha256(convert_to(NEW.previous_hash || NEW.canonical, 'UTF8')), 'hex');
    RETURN NEW;
END $$;
CREATE TRIGGER chain BEFORE INSERT ON rebalance_history FOR EACH ROW EXECUTE FUNCTION chain_history();
"""

# A partition is attached, not created in place: that would lock out everybody who writes drift logs.
PARTITIONS = """
CREATE FUNCTION ensure_drift_partition(bucket timestamptz) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    month timestamp := date_trunc('month', bucket AT TIME ZONE 'UTC');
    name text := 'drift_logs_' || to_char(month, 'YYYYMM');
BEGIN
    IF to_regclass('public.' || name) IS NOT NULL THEN
        RETURN;
    END IF;
    PERFORM pg_advisory_xact_lock(hashtext('drift_logs'));
    -- Asked of the table this time: to_regclass would remember what it did not find before the wait.
    IF EXISTS (SELECT FROM pg_class WHERE relname = name AND relnamespace = 'public'::regnamespace) THEN
        RETURN;
    END IF;
    EXECUTE format('CREATE TABLE public.%I (LIKE public.drift_logs INCLUDING ALL)', name);
    EXECUTE format(
        'ALTER TABLE public.drift_logs ATTACH PARTITION public.%I FOR VALUES FROM (%L) TO (%L)',
        name, month AT TIME ZONE 'UTC', (month + interval '1 month') AT TIME ZONE 'UTC'
    );
END $$;
REVOKE ALL ON FUNCTION ensure_drift_partition(timestamptz) FROM PUBLIC;
"""

RIGHTS = """
DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'steelyard_app') THEN
        CREATE ROLE steelyard_app NOLOGIN;
    END IF;
EXCEPTION WHEN duplicate_object OR unique_violation THEN
    NULL;  -- roles belong to all databases, and another one was migrated at the same time
END $$;
REVOKE CREATE ON SCHEMA public FROM PUBLIC;
GRANT USAGE ON SCHEMA public TO steelyard_app;
GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO steelyard_app;
GRANT EXECUTE ON FUNCTION ensure_drift_partition(timestamptz) TO steelyard_app;
GRANT SELECT ON tortoise_migrations TO steelyard_app;
GRANT SELECT, INSERT ON
    owners, taxpayer_groups, transactions, rebalance_history, outbox, drift_logs, plan_trades, plan_lot_sales,
    plan_skips TO steelyard_app;
GRANT SELECT, INSERT, UPDATE ON
    assets, prices, price_history, portfolios, accounts, target_versions, target_allocations, alerts, plans, scan_runs,
    scan_chunks TO steelyard_app;
GRANT SELECT, INSERT, UPDATE, DELETE ON
    account_cash, tax_lots, drift_states, scan_prices, idempotency_keys TO steelyard_app;
GRANT SELECT, UPDATE ON domain_clock TO steelyard_app;
"""


class Migration(migrations.Migration):
    dependencies = [("store", "0001_initial")]
    operations = [ops.RunSQL([CHECKS, OWNERS, TABLES, TARGETS, HISTORY, PARTITIONS, RIGHTS])]
