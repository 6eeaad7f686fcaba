"""Scans count the portfolios of which stale prices let them say nothing, apart from those that are out of band."""

from tortoise import migrations
from tortoise.migrations import operations as ops

CHUNKS = "ALTER TABLE scan_chunks ADD COLUMN stale int NOT NULL DEFAULT 0;"


class Migration(migrations.Migration):
    dependencies = [("store", "0008_allowances")]
    operations = [ops.RunSQL(CHUNKS)]
