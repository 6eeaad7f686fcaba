"""Hooks and what is delivered to them; how far the event log was relayed, and up to where it was trimmed."""

from tortoise import migrations
from tortoise.migrations import operations as ops

# A hook hears what its snapshot of then does not see: exactly what was committed after it. A delivery without an event
# is a digest or a code; its payload is written when it is first tried. `due` is null while the hook is disabled.
TABLES = """
CREATE TABLE hooks (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    public_id uuid NOT NULL UNIQUE,
    owner_id bigint NOT NULL REFERENCES owners ON DELETE RESTRICT,
    kind text NOT NULL CHECK (kind IN ('WEBHOOK', 'EMAIL')),
    address text NOT NULL,
    events text[] NOT NULL,
    min_severity text NOT NULL CHECK (min_severity IN ('INFO', 'WARNING', 'CRITICAL')),
    enabled boolean NOT NULL,
    disabled_reason text,
    secret text NOT NULL,
    previous_secret text,
    previous_until timestamptz,
    confirmed_at timestamptz,
    code_digest text,
    code_until timestamptz,
    code_tries int NOT NULL DEFAULT 0,
    failures int NOT NULL DEFAULT 0,
    failing_since timestamptz,
    last_delivered_at timestamptz,
    created_at timestamptz NOT NULL,
    deleted_at timestamptz,
    since pg_snapshot NOT NULL DEFAULT pg_current_snapshot(),
    UNIQUE (id, owner_id)
);
CREATE INDEX hooks_owner ON hooks (owner_id, id) WHERE deleted_at IS NULL;
CREATE INDEX hooks_deleted ON hooks (id) WHERE deleted_at IS NOT NULL;
CREATE TABLE deliveries (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    public_id uuid NOT NULL UNIQUE,
    owner_id bigint NOT NULL,
    hook_id bigint NOT NULL,
    event bigint,
    type text NOT NULL,
    payload json,
    status text NOT NULL CHECK (status IN ('PENDING', 'DELIVERED', 'DEAD', 'CANCELLED')),
    attempts int NOT NULL DEFAULT 0,
    tries int NOT NULL DEFAULT 0,
    due timestamptz,
    lease_until timestamptz,
    first_at timestamptz,
    last_at timestamptz,
    last_status int,
    last_error text,
    created_at timestamptz NOT NULL,
    ended_at timestamptz,
    UNIQUE (hook_id, event),
    FOREIGN KEY (hook_id, owner_id) REFERENCES hooks (id, owner_id) ON DELETE RESTRICT,
    CHECK ((status = 'PENDING') = (ended_at IS NULL))
);
CREATE INDEX deliveries_due ON deliveries (hook_id, due, id) WHERE status = 'PENDING' AND due IS NOT NULL;
CREATE INDEX deliveries_leased ON deliveries (hook_id, lease_until)
    WHERE status = 'PENDING' AND lease_until IS NOT NULL;
CREATE INDEX deliveries_hook ON deliveries (hook_id, id);
CREATE INDEX deliveries_ended ON deliveries (ended_at) WHERE ended_at IS NOT NULL;
CREATE TABLE digest_lines (
    delivery_id bigint NOT NULL REFERENCES deliveries ON DELETE CASCADE,
    event bigint NOT NULL,
    line json NOT NULL,
    PRIMARY KEY (delivery_id, event)
);
-- How many alert events of one minute went to a hook one by one, and the digest that has the rest.
CREATE TABLE alert_storms (
    hook_id bigint NOT NULL REFERENCES hooks ON DELETE CASCADE,
    at timestamptz NOT NULL,
    told int NOT NULL,
    digest_id bigint REFERENCES deliveries ON DELETE SET NULL,
    written_at timestamptz NOT NULL,
    PRIMARY KEY (hook_id, at)
);
CREATE INDEX alert_storms_written ON alert_storms (written_at);
CREATE INDEX alert_storms_digest ON alert_storms (digest_id) WHERE digest_id IS NOT NULL;
CREATE TABLE outbox_marks (
    name text PRIMARY KEY CHECK (name IN ('relayed', 'trimmed')),
    xid xid8 NOT NULL,
    event bigint NOT NULL,
    at timestamptz
);
INSERT INTO outbox_marks (name, xid, event) VALUES
    ('relayed', pg_snapshot_xmin(pg_current_snapshot()), 0), ('trimmed', '0', 0);
ALTER TABLE outbox ADD COLUMN written_at timestamptz NOT NULL DEFAULT now();
CREATE INDEX idempotency_keys_created ON idempotency_keys (created_at);
"""

# The log is append-only for the application; only here it loses its beginning, and only what was relayed. What has a
# number from the future came out of a dump of another life: it was told there, and would be told again.
TRIM = """
CREATE FUNCTION trim_outbox(before timestamptz, most int) RETURNS bigint
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    relayed record;
    last record;
    trimmed bigint;
    alien bigint;
BEGIN
    SELECT xid, event INTO relayed FROM outbox_marks WHERE name = 'relayed';
    WITH head AS (
        SELECT xid, id, written_at FROM outbox WHERE (xid, id) <= (relayed.xid, relayed.event)
        ORDER BY xid, id LIMIT most
    ), old AS (
        SELECT xid, id, written_at FROM (
            SELECT h.*, bool_and(h.written_at < before) OVER (ORDER BY h.xid, h.id) AS passed FROM head h
        ) AS seen WHERE passed
    )
    SELECT xid, id, max(written_at) OVER () AS at INTO last FROM old ORDER BY xid DESC, id DESC LIMIT 1;
    IF last.id IS NOT NULL THEN
        DELETE FROM outbox WHERE (xid, id) <= (last.xid, last.id);
        GET DIAGNOSTICS trimmed = ROW_COUNT;
        UPDATE outbox_marks SET xid = last.xid, event = last.id, at = last.at WHERE name = 'trimmed';
    END IF;
    DELETE FROM outbox WHERE id IN (
        SELECT id FROM outbox WHERE xid > pg_snapshot_xmax(pg_current_snapshot()) ORDER BY xid, id LIMIT most
    );
    GET DIAGNOSTICS alien = ROW_COUNT;
    RETURN coalesce(trimmed, 0) + alien;
END $$;
REVOKE ALL ON FUNCTION trim_outbox(timestamptz, int) FROM PUBLIC;
"""

RIGHTS = """
GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO steelyard_app;
GRANT EXECUTE ON FUNCTION trim_outbox(timestamptz, int) TO steelyard_app;
GRANT SELECT, INSERT, UPDATE, DELETE ON hooks, deliveries, digest_lines, alert_storms TO steelyard_app;
GRANT SELECT, UPDATE ON outbox_marks TO steelyard_app;
"""


class Migration(migrations.Migration):
    dependencies = [("store", "0006_scans")]
    operations = [ops.RunSQL([TABLES, TRIM, RIGHTS])]
