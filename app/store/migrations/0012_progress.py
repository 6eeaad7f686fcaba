"""A plan that is being made says how far it is, and can be cancelled."""

from orjson import loads
from tortoise import fields, migrations
from tortoise.fields.data import JSON_DUMPS
from tortoise.migrations import operations as ops

STATUSES = """
ALTER TABLE plans
    DROP CONSTRAINT plans_status_check,
    ADD CONSTRAINT plans_status_check CHECK (
        status IN ('QUEUED', 'COMPUTING', 'READY', 'NOTHING_TO_DO', 'EXPIRED', 'SUPERSEDED', 'CANCELLED', 'FAILED')
    );
"""


class Migration(migrations.Migration):
    dependencies = [("store", "0011_plans")]
    operations = [
        ops.AddField("PlanRow", "progress", fields.JSONField(null=True, encoder=JSON_DUMPS, decoder=loads)),
        ops.RunSQL(STATUSES),
    ]
