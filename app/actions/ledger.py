"""The tax ledger of a CSV of purchases and sales, offline."""

from pathlib import Path

from app.actions.files import TRANSACTION_COLUMNS, read_csv, read_text
from app.core import ledger_file
from app.core.ledger import Ledger, LotChoice


def settle(path: Path, choice: LotChoice) -> Ledger:
    """Settle a file of purchases and sales, all of one taxpayer group."""
    optional = ledger_file.OPTIONAL_COLUMNS
    return ledger_file.settle(read_csv(read_text(path), TRANSACTION_COLUMNS, ledger_file.read_row, optional), choice)
