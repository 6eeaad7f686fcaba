"""Costs by brackets and caps, how assets trade, and brokers with their fees."""

from orjson import loads
from tortoise import fields, migrations
from tortoise.fields.data import JSON_DUMPS
from tortoise.migrations import operations as ops

CHECKS = """
ALTER TABLE assets
    ADD CHECK (fee_cap >= fee_minimum AND fee_cap < 1e27),
    ADD CHECK (jsonb_typeof(fee_tiers) = 'array'),
    ADD CHECK (jsonb_typeof(liquidity) = 'object');
"""

# `fees` are schedules by asset class, each a list of lines.
BROKERS = """
CREATE TABLE brokers (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name text NOT NULL UNIQUE CHECK (name <> ''),
    currency text NOT NULL,
    conversion numeric NOT NULL CHECK (conversion BETWEEN 0 AND 1),
    fees jsonb NOT NULL CHECK (jsonb_typeof(fees) = 'object'),
    updated_at timestamptz NOT NULL
);
ALTER TABLE accounts ADD FOREIGN KEY (broker_id) REFERENCES brokers ON DELETE RESTRICT;
GRANT SELECT, INSERT, UPDATE ON brokers TO steelyard_app;
"""


class Migration(migrations.Migration):
    dependencies = [("store", "0009_stale_scans")]
    operations = [
        ops.AddField("AssetRow", "fee_cap", fields.DecimalField(max_digits=38, decimal_places=10, null=True)),
        *(
            ops.AddField("AssetRow", name, fields.JSONField(encoder=JSON_DUMPS, decoder=loads, null=True))
            for name in ("fee_tiers", "liquidity")
        ),
        ops.AddField("AccountRow", "broker_id", fields.BigIntField(null=True)),
        ops.RunSQL([CHECKS, BROKERS]),
    ]
