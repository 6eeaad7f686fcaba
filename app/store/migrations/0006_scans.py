"""Buckets that were missed, prices in the order of their commits, and how far price ticks have got."""

from tortoise import migrations
from tortoise.migrations import operations as ops

# `gap_from` is the first bucket before a run that has no row yet; NULL when every one back to the first run has one.
RUNS = """
ALTER TABLE scan_runs
    ADD COLUMN kind text NOT NULL DEFAULT 'SCHEDULED' CHECK (kind IN ('SCHEDULED', 'CATCH_UP')),
    ADD COLUMN gap_from timestamptz CHECK (gap_from < bucket),
    ADD COLUMN xid xid8 NOT NULL DEFAULT pg_current_xact_id(),
    DROP CONSTRAINT scan_runs_status_check,
    ADD CONSTRAINT scan_runs_status_check CHECK (status IN ('RUNNING', 'DONE', 'MISSED'));
CREATE INDEX scan_runs_gaps ON scan_runs (bucket) WHERE gap_from IS NOT NULL;
CREATE INDEX scan_runs_order ON scan_runs (xid);
CREATE INDEX price_history_time ON price_history (priced_at);
"""

# Prices that changed are found by the transaction that wrote them. A pass goes from `xid` up to `until`, by portfolios.
TICKS = """
ALTER TABLE prices ADD COLUMN xid xid8 NOT NULL DEFAULT pg_current_xact_id();
CREATE INDEX prices_order ON prices (xid);
CREATE TABLE relay_cursors (
    name text PRIMARY KEY,
    xid xid8 NOT NULL,
    until xid8,
    after_id bigint NOT NULL DEFAULT 0
);
INSERT INTO relay_cursors (name, xid) VALUES ('prices', pg_current_xact_id());
-- The transaction in which a portfolio was last decided on at prices of its own time, and not at those of a run.
CREATE TABLE price_decisions (
    portfolio_id bigint PRIMARY KEY REFERENCES portfolios ON DELETE RESTRICT,
    xid xid8 NOT NULL
);
GRANT SELECT, UPDATE ON relay_cursors TO steelyard_app;
GRANT SELECT, INSERT, UPDATE ON price_decisions TO steelyard_app;
"""

PROPOSALS = """
CREATE INDEX portfolios_proposing ON portfolios (id)
    WHERE status = 'ACTIVE' AND (policy->>'auto_propose')::boolean;
"""


class Migration(migrations.Migration):
    dependencies = [("store", "0005_logs")]
    operations = [ops.RunSQL([RUNS, TICKS, PROPOSALS])]
