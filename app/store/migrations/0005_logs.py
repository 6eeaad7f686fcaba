"""Drift logs with packed detail, and the figures of each day that outlive them."""

from tortoise import migrations
from tortoise.migrations import operations as ops

# The detail of older rows is let go: their figures stay, what they said of each sleeve does not.
DETAIL = """
ALTER TABLE drift_logs
    DROP COLUMN entries,
    ADD COLUMN detail bytea,
    ADD COLUMN tracking_error numeric,
    ADD COLUMN deployable numeric;
"""

# Without foreign keys, as drift_logs. `turns` are the buckets at which it changed whether a sleeve was outside its
# band, the day's first judgement among them; `begins_breached` is what that one said.
DAYS = """
CREATE TABLE drift_days (
    portfolio_id bigint NOT NULL,
    day timestamptz NOT NULL CHECK (day = date_trunc('day', day, 'UTC')),
    owner_id bigint NOT NULL,
    measurements int NOT NULL,
    missed int NOT NULL,
    breached int NOT NULL,
    in_band int NOT NULL,
    stale int NOT NULL,
    worst text,
    status text,
    value numeric,
    max_abs_drift numeric,
    lowest numeric,
    highest numeric,
    highest_at timestamptz,
    last_at timestamptz,
    begins_breached boolean,
    turns timestamptz[] NOT NULL,
    PRIMARY KEY (portfolio_id, day)
);
CREATE INDEX drift_days_day ON drift_days USING brin (day);
"""

# `changes` grows with every run of the day that begins or ends. The figures are those of the pass `rolled`; a pass
# that is on its way has done the portfolios up to `done_id`. A bucket that was missed has no rows, and counts nothing.
ROLLUPS = """
CREATE TABLE drift_rollups (
    day timestamptz PRIMARY KEY CHECK (day = date_trunc('day', day, 'UTC')),
    changes bigint NOT NULL,
    rolled bigint NOT NULL DEFAULT 0,
    pass bigint NOT NULL DEFAULT 0,
    done_id bigint NOT NULL DEFAULT 0
);
CREATE INDEX drift_rollups_open ON drift_rollups (day) WHERE rolled < changes;
CREATE INDEX scan_runs_missed ON scan_runs (bucket) WHERE status = 'MISSED';
CREATE INDEX alerts_drift_raised ON alerts (raised_at) WHERE kind = 'DRIFT';

INSERT INTO drift_rollups (day, changes)
    SELECT date_trunc('day', bucket, 'UTC'), count(*) FROM scan_runs GROUP BY 1;

CREATE FUNCTION note_scan_run() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, public AS $$
BEGIN
    INSERT INTO drift_rollups (day, changes) VALUES (date_trunc('day', NEW.bucket, 'UTC'), 1)
        ON CONFLICT (day) DO UPDATE SET changes = drift_rollups.changes + 1;
    RETURN NULL;
END $$;
CREATE TRIGGER note AFTER INSERT OR UPDATE OF status ON scan_runs
    FOR EACH ROW WHEN (NEW.status <> 'MISSED') EXECUTE FUNCTION note_scan_run();
"""

# Whoever waits for the lock of drift_logs makes everybody else wait behind: better another time.
RETENTION = """
CREATE FUNCTION drop_drift_partitions(kept_from timestamptz) RETURNS int
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp SET lock_timeout = '500ms' AS $$
DECLARE
    part name;
    begins timestamptz;
    ends timestamptz;
    rows_left boolean;
    dropped int := 0;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtext('drift_logs'));
    FOR part IN
        SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
        WHERE i.inhparent = 'public.drift_logs'::regclass AND c.relname ~ '^drift_logs_[0-9]{6}$' ORDER BY c.relname
    LOOP
        begins := make_timestamptz(substr(part, 12, 4)::int, substr(part, 16, 2)::int, 1, 0, 0, 0, 'UTC');
        ends := (begins AT TIME ZONE 'UTC' + interval '1 month') AT TIME ZONE 'UTC';
        EXIT WHEN ends > kept_from;
        CONTINUE WHEN EXISTS (SELECT FROM drift_rollups WHERE day >= begins AND day < ends AND rolled < changes);
        IF NOT EXISTS (SELECT FROM drift_rollups WHERE day >= begins AND day < ends) THEN
            EXECUTE format('SELECT EXISTS (SELECT FROM public.%I)', part) INTO rows_left;
            CONTINUE WHEN rows_left;
        END IF;
        EXECUTE format('DROP TABLE public.%I', part);
        dropped := dropped + 1;
    END LOOP;
    RETURN dropped;
EXCEPTION WHEN lock_not_available THEN
    RETURN 0;
END $$;
REVOKE ALL ON FUNCTION drop_drift_partitions(timestamptz) FROM PUBLIC;
"""

RIGHTS = """
GRANT SELECT, INSERT, UPDATE, DELETE ON drift_days TO steelyard_app;
GRANT SELECT, INSERT, UPDATE ON drift_rollups TO steelyard_app;
GRANT EXECUTE ON FUNCTION drop_drift_partitions(timestamptz) TO steelyard_app;
"""


class Migration(migrations.Migration):
    dependencies = [("store", "0004_alerts")]
    operations = [ops.RunSQL([DETAIL, DAYS, ROLLUPS, RETENTION, RIGHTS])]
