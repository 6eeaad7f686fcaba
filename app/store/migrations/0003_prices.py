"""Closing prices: the last price of each UTC day, so that statistics need not read the whole history."""

from tortoise import migrations
from tortoise.migrations import operations as ops

TABLES = """
CREATE TABLE price_days (
    asset_id bigint NOT NULL REFERENCES assets ON DELETE RESTRICT,
    day date NOT NULL,
    price numeric(38,18) NOT NULL CHECK (price > 0 AND price < 1e12),
    priced_at timestamptz NOT NULL,
    PRIMARY KEY (asset_id, day)
);
INSERT INTO price_days (asset_id, day, price, priced_at)
SELECT DISTINCT ON (asset_id, day) asset_id, (priced_at AT TIME ZONE 'UTC')::date AS day, price, priced_at
FROM price_history ORDER BY asset_id, day, priced_at DESC;
GRANT SELECT, INSERT, UPDATE ON price_days TO steelyard_app;
"""


class Migration(migrations.Migration):
    dependencies = [("store", "0002_rules")]
    operations = [ops.RunSQL(TABLES)]
