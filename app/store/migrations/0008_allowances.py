"""Allowances: what an owner may do only so often, and when it was done of late."""

from tortoise import migrations
from tortoise.migrations import operations as ops

TABLES = """
CREATE TABLE allowances (
    owner_id bigint NOT NULL REFERENCES owners ON DELETE RESTRICT,
    what text NOT NULL,
    taken timestamptz[] NOT NULL,
    PRIMARY KEY (owner_id, what)
);
GRANT SELECT, INSERT, UPDATE ON allowances TO steelyard_app;
"""


class Migration(migrations.Migration):
    dependencies = [("store", "0007_hooks")]
    operations = [ops.RunSQL(TABLES)]
