"""Plans say what was asked of them, how good they are proven to be and what waiting would save; trades move prices."""

from orjson import loads
from tortoise import fields, migrations
from tortoise.contrib.postgres.fields import ArrayField
from tortoise.fields.data import JSON_DUMPS
from tortoise.fields.db_defaults import SqlDefault
from tortoise.migrations import operations as ops

# The accounts of a taxpayer group are looked for with every plan.
GROUPS = "CREATE INDEX accounts_taxpayer_group ON accounts (taxpayer_group_id);"
IMPACT = "ALTER TABLE plan_trades ADD COLUMN impact numeric NOT NULL DEFAULT 0;"


def _texts() -> ArrayField:
    return ArrayField(element_type="text", db_default=SqlDefault("'{}'"))


class Migration(migrations.Migration):
    dependencies = [("store", "0010_costs")]
    operations = [
        ops.AddField("PlanRow", "no_buy", _texts()),
        ops.AddField("PlanRow", "no_sell", _texts()),
        ops.AddField("PlanRow", "sell_lots", _texts()),
        ops.AddField("PlanRow", "proof", fields.JSONField(null=True, encoder=JSON_DUMPS, decoder=loads)),
        ops.AddField("PlanRow", "advice", fields.JSONField(null=True, encoder=JSON_DUMPS, decoder=loads)),
        ops.AddField("PlanRow", "solve_ms", fields.IntField(null=True)),
        ops.RunSQL([IMPACT, GROUPS]),
    ]
