"""The tables, as Tortoise models: what migrations are made from.

    owners ── taxpayer_groups          assets ── prices, price_history;  brokers
      │
    portfolios ── accounts ── account_cash, tax_lots, transactions
      ├── target_versions (sealed) ── target_allocations
      ├── drift_logs (partitioned), drift_states, alerts
      ├── plans ── plan_trades ── plan_lot_sales;  plan_skips
      └── rebalance_history (append-only), outbox (append-only)
    scan_runs ── scan_chunks, scan_prices;  idempotency_keys;  allowances;  domain_clock

Models stand for tables with a made-up key of one column; the others, all checks, triggers and rights are SQL in the
migrations. Rows are read and written by SQL: these classes are never loaded one by one. Amounts are numeric(38,10),
quantities and prices numeric(38,18), percents numeric(9,6); computed amounts in SQL tables are numeric, exact.
"""

from typing import Any

from tortoise import fields
from tortoise.contrib.postgres.fields import ArrayField
from tortoise.fields import OnDelete
from tortoise.fields.db_defaults import SqlDefault
from tortoise.models import Model

Rows = fields.ForeignKeyRelation[Any]
NONE = SqlDefault("'{}'")


def _money(*, null: Any = False) -> Any:
    return fields.DecimalField(max_digits=38, decimal_places=10, null=null)


def _quantity(*, null: Any = False) -> Any:
    return fields.DecimalField(max_digits=38, decimal_places=18, null=null)


def _to(model: str, *, null: Any = False) -> Any:
    """Point to a row that must not be deleted while it is pointed to: history keeps what it speaks of."""
    return fields.ForeignKeyField(
        f"store.{model}", related_name=False, on_delete=OnDelete.RESTRICT, db_index=False, null=null
    )


class OwnerRow(Model):
    id = fields.BigIntField(primary_key=True)
    public_id = fields.UUIDField(unique=True)
    issuer = fields.CharField(max_length=255)
    subject = fields.CharField(max_length=255)
    created_at = fields.DatetimeField()

    class Meta:
        table = "owners"
        unique_together = (("issuer", "subject"),)


class TaxpayerGroupRow(Model):
    id = fields.BigIntField(primary_key=True)
    owner: Rows = _to("OwnerRow")

    class Meta:
        table = "taxpayer_groups"
        indexes = (("owner_id",),)


class AssetRow(Model):
    id = fields.BigIntField(primary_key=True)
    public_id = fields.UUIDField(unique=True)
    symbol = fields.CharField(max_length=64)
    currency = fields.CharField(max_length=16)
    venue = fields.CharField(max_length=64)
    name = fields.CharField(max_length=255)
    asset_class = fields.CharField(max_length=16)
    quantity_step = _quantity()
    price_step = _quantity()
    min_notional = _money()
    tradable = fields.BooleanField()
    identical_group = fields.CharField(max_length=64)
    fee_fixed = _money()
    fee_rate = _quantity()
    fee_minimum = _money()
    half_spread = _quantity()
    updated_at = fields.DatetimeField()
    fee_cap = _money(null=True)
    fee_tiers: Any = fields.JSONField(null=True)
    liquidity: Any = fields.JSONField(null=True)

    class Meta:
        table = "assets"
        unique_together = (("symbol", "currency", "venue"),)


class PortfolioRow(Model):
    id = fields.BigIntField(primary_key=True)
    public_id = fields.UUIDField(unique=True)
    owner: Rows = _to("OwnerRow")
    name = fields.CharField(max_length=255)
    base_currency = fields.CharField(max_length=16)
    status = fields.CharField(max_length=16)
    version = fields.IntField()
    policy: Any = fields.JSONField()
    targets_id = fields.BigIntField(null=True)  # a sealed version of its own, by a composite key in SQL
    created_at = fields.DatetimeField()
    updated_at = fields.DatetimeField()
    halted_at = fields.DatetimeField(null=True)
    model = fields.CharField(max_length=100, null=True)

    class Meta:
        table = "portfolios"
        indexes = (("owner_id", "id"),)


class AccountRow(Model):
    id = fields.BigIntField(primary_key=True)
    public_id = fields.UUIDField(unique=True)
    owner: Rows = _to("OwnerRow")
    portfolio: Rows = _to("PortfolioRow")
    taxpayer_group: Rows = _to("TaxpayerGroupRow")
    name = fields.CharField(max_length=255)
    kind = fields.CharField(max_length=16)
    position = fields.IntField()
    history_from = fields.DateField(null=True)
    synced_at = fields.DatetimeField()
    broker_id = fields.BigIntField(null=True)  # of brokers, by a key in SQL
    execution = fields.CharField(max_length=16, db_default="MANUAL")
    reconciled_at = fields.DatetimeField(null=True)  # when its broker last said what it holds
    asked_at = fields.DatetimeField(null=True)  # when it was last asked

    class Meta:
        table = "accounts"
        unique_together = (("portfolio_id", "name"),)


class TaxLotRow(Model):
    id = fields.BigIntField(primary_key=True)
    public_id = fields.UUIDField(unique=True)
    owner: Rows = _to("OwnerRow")
    account: Rows = _to("AccountRow")
    asset: Rows = _to("AssetRow")
    quantity = _quantity()
    basis = _money()
    acquired_on = fields.DateField()
    holding_from = fields.DateField()
    origin = fields.CharField(max_length=16)
    purchase_id = fields.UUIDField(null=True)  # of all lots that one purchase was cut into; null: its own
    replaced = fields.BooleanField(db_default=False)  # its shares have replaced shares sold at a loss

    class Meta:
        table = "tax_lots"
        indexes = (("account_id", "acquired_on"), ("asset_id",))


class TransactionRow(Model):
    id = fields.BigIntField(primary_key=True)
    public_id = fields.UUIDField(unique=True)
    owner: Rows = _to("OwnerRow")
    account: Rows = _to("AccountRow")
    asset: Any = _to("AssetRow", null=True)
    side = fields.CharField(max_length=16)
    quantity = _quantity(null=True)
    price = _quantity(null=True)
    fees = _money(null=True)
    amount = _money(null=True)
    currency = fields.CharField(max_length=16)
    traded_on = fields.DateField()
    actor = fields.CharField(max_length=255)
    recorded_at = fields.DatetimeField()
    booked = fields.BooleanField(db_default=False)  # of a fill: lots and cash moved with it

    class Meta:
        table = "transactions"
        indexes = (("account_id", "traded_on", "id"),)


class TargetVersionRow(Model):
    id = fields.BigIntField(primary_key=True)
    public_id = fields.UUIDField(unique=True)
    portfolio: Rows = _to("PortfolioRow")
    owner: Rows = _to("OwnerRow")
    version = fields.IntField()
    author = fields.CharField(max_length=255)
    note = fields.TextField()
    effective_at = fields.DatetimeField()
    changes = fields.IntField()  # counts writes to its entries, so that sealing and writing always meet in this row
    sealed = fields.BooleanField()

    class Meta:
        table = "target_versions"
        unique_together = (("portfolio_id", "version"), ("portfolio_id", "id", "sealed"))


class TargetAllocationRow(Model):
    id = fields.BigIntField(primary_key=True)
    target_version: Rows = _to("TargetVersionRow")
    position = fields.IntField()
    key = fields.CharField(max_length=64)
    percent = fields.DecimalField(max_digits=9, decimal_places=6)
    asset_ids = ArrayField(element_type="bigint")
    asset_class = fields.CharField(max_length=16, null=True)
    band: Any = fields.JSONField(null=True)

    class Meta:
        table = "target_allocations"
        unique_together = (("target_version_id", "key"), ("target_version_id", "position"))


class AlertRow(Model):
    id = fields.BigIntField(primary_key=True)
    public_id = fields.UUIDField(unique=True)
    owner: Rows = _to("OwnerRow")
    portfolio: Any = _to("PortfolioRow", null=True)  # null: about all of the owner's
    kind = fields.CharField(max_length=16)
    key = fields.CharField(max_length=200, null=True)
    severity = fields.CharField(max_length=16)
    status = fields.CharField(max_length=16)
    message = fields.TextField()
    entry: Any = fields.JSONField(null=True)
    raised_at = fields.DatetimeField()
    escalated_at = fields.DatetimeField(null=True)
    acknowledged_at = fields.DatetimeField(null=True)
    acknowledged_by = fields.CharField(max_length=255, null=True)
    resolved_at = fields.DatetimeField(null=True)
    reminded_at = fields.DatetimeField(null=True)
    snoozed_until = fields.DatetimeField(null=True)

    class Meta:
        table = "alerts"
        indexes = (("owner_id", "id"), ("portfolio_id", "id"))


class PlanRow(Model):
    id = fields.BigIntField(primary_key=True)
    public_id = fields.UUIDField(unique=True)
    owner: Rows = _to("OwnerRow")
    portfolio: Rows = _to("PortfolioRow")
    status = fields.CharField(max_length=16)
    version = fields.IntField()
    scope = fields.CharField(max_length=16)
    cash_flow = _money()
    excluded = ArrayField(element_type="text")
    no_buy = ArrayField(element_type="text", db_default=NONE)
    no_sell = ArrayField(element_type="text", db_default=NONE)
    sell_lots = ArrayField(element_type="text", db_default=NONE)
    engine = fields.CharField(max_length=64)
    targets_version = fields.IntField(null=True)
    requested_by = fields.CharField(max_length=255)
    created_at = fields.DatetimeField()
    ready_at = fields.DatetimeField(null=True)
    expires_at = fields.DatetimeField(null=True)
    inputs_digest = fields.CharField(max_length=64, null=True)
    before: Any = fields.JSONField(null=True)
    after: Any = fields.JSONField(null=True)
    summary: Any = fields.JSONField(null=True)
    warnings: Any = fields.JSONField()
    error: Any = fields.JSONField(null=True)
    proof: Any = fields.JSONField(null=True)
    advice: Any = fields.JSONField(null=True)
    solve_ms = fields.IntField(null=True)
    progress: Any = fields.JSONField(null=True)
    approved_by = fields.CharField(max_length=255, null=True)
    approved_at = fields.DatetimeField(null=True)
    approved: Any = fields.JSONField(null=True)
    reason = fields.TextField(null=True)
    cancel_asked_by = fields.CharField(max_length=255, null=True)
    cancel_asked_at = fields.DatetimeField(null=True)
    wake_at = fields.DatetimeField(null=True)
    ended_at = fields.DatetimeField(null=True)
    outcome: Any = fields.JSONField(null=True)
    inputs = fields.BinaryField(null=True)
    pool_id = fields.BigIntField(null=True)  # of bulks, by a key in SQL

    class Meta:
        table = "plans"
        indexes = (("portfolio_id", "id"),)


class ScanRunRow(Model):
    id = fields.BigIntField(primary_key=True)
    public_id = fields.UUIDField(unique=True)
    bucket = fields.DatetimeField(unique=True)
    as_of = fields.DatetimeField()
    status = fields.CharField(max_length=16)
    period_s = fields.IntField()
    started_at = fields.DatetimeField()
    ended_at = fields.DatetimeField(null=True)
    due = fields.IntField()

    class Meta:
        table = "scan_runs"
