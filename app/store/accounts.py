"""Where an account is found: in which portfolio, under which name."""

from app.core import ids
from app.store.db import Tx


async def load_place(owner_id: int, tx: Tx, account_id: str) -> tuple[str, str] | None:
    """Return the public id of the portfolio an account is in and its name there, None when this owner has none such."""
    row = await tx.row(
        """
        SELECT p.public_id, a.name FROM accounts a JOIN portfolios p ON p.id = a.portfolio_id
        WHERE a.owner_id = $1 AND a.public_id = $2
        """,
        owner_id,
        ids.decode(ids.ACCOUNT, account_id),
    )
    return (ids.encode(ids.PORTFOLIO, row["public_id"]), row["name"]) if row else None
