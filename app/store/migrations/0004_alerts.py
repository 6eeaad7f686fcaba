"""Alerts about all of an owner's portfolios, reminders and snoozing; states count for each edge by itself."""

from tortoise import fields, migrations
from tortoise.fields.base import OnDelete
from tortoise.migrations import operations as ops

ALERTS = """
ALTER TABLE alerts DROP CONSTRAINT alerts_kind_check;
ALTER TABLE alerts
    ADD CONSTRAINT alerts_kind_check CHECK (kind IN ('DRIFT', 'UNTARGETED', 'DATA_STALE', 'PLAN_READY')),
    ADD CHECK (portfolio_id IS NOT NULL OR kind = 'DATA_STALE');
-- One that was raised for a portfolio ends, and who follows is told; its owner's is raised by the next measurement.
WITH ended AS (
    UPDATE alerts SET status = 'RESOLVED', resolved_at = greatest(raised_at, escalated_at),
        message = 'What data lacks is told of all portfolios together from now on.'
    WHERE kind = 'DATA_STALE' AND status <> 'RESOLVED' RETURNING portfolio_id, status, resolved_at, message
)
INSERT INTO outbox (owner_id, portfolio_id, topic, subject, payload, created_at)
    SELECT last.owner_id, last.portfolio_id, last.topic, last.subject, jsonb_build_object('event', 'RESOLVED', 'alert',
        last.payload->'alert' || jsonb_build_object(
            'status', e.status, 'resolved_at', e.resolved_at, 'message', e.message
        )), e.resolved_at
    FROM ended e CROSS JOIN LATERAL (
        SELECT o.* FROM outbox o JOIN portfolios p ON p.owner_id = o.owner_id AND p.id = o.portfolio_id
        WHERE p.id = e.portfolio_id AND o.topic = 'alert' AND o.payload->'alert'->>'kind' = 'DATA_STALE'
        ORDER BY o.xid DESC, o.id DESC LIMIT 1
    ) last;
CREATE UNIQUE INDEX alerts_owner_unresolved ON alerts (owner_id, kind)
    WHERE portfolio_id IS NULL AND status <> 'RESOLVED';
CREATE INDEX alerts_plans ON alerts (portfolio_id) WHERE kind = 'PLAN_READY' AND status <> 'RESOLVED';
ALTER TABLE outbox ALTER COLUMN portfolio_id DROP NOT NULL;
"""

STATES = """
DELETE FROM drift_states WHERE key = '';
ALTER TABLE drift_states
    DROP COLUMN rising,
    DROP COLUMN falling,
    ADD COLUMN runs int[] NOT NULL DEFAULT '{0,0,0}' CHECK (cardinality(runs) = 3),
    ADD COLUMN told_at timestamptz,
    ADD COLUMN acknowledged boolean NOT NULL DEFAULT false,
    ADD COLUMN snoozed_until timestamptz,
    ADD COLUMN symbols text[] NOT NULL DEFAULT '{}';
UPDATE drift_states s SET told_at = greatest(a.raised_at, a.escalated_at), acknowledged = a.status = 'ACKNOWLEDGED'
    FROM alerts a
    WHERE a.portfolio_id = s.portfolio_id AND a.kind = 'DRIFT' AND a.key = s.key AND a.status <> 'RESOLVED';
CREATE INDEX drift_states_stale ON drift_states (portfolio_id) WHERE key = ' data';
"""


class Migration(migrations.Migration):
    dependencies = [("store", "0003_prices")]
    operations = [
        ops.AlterField(
            "AlertRow",
            "portfolio",
            fields.ForeignKeyField(
                "store.PortfolioRow",
                source_field="portfolio_id",
                db_constraint=True,
                to_field="id",
                related_name=False,
                on_delete=OnDelete.RESTRICT,
                null=True,
            ),
        ),
        ops.AddField("AlertRow", "reminded_at", fields.DatetimeField(null=True)),
        ops.AddField("AlertRow", "snoozed_until", fields.DatetimeField(null=True)),
        ops.RunSQL([ALERTS, STATES]),
    ]
