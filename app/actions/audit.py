"""The audit trail: what happened to a portfolio, line by line, and whether the chain of lines is whole."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from app.actions.pages import Page, key_of, page_of, row_of
from app.actions.portfolios import Loaded
from app.context import Context, Services
from app.core.errors import NotFound
from app.store import history as rows
from app.store.history import Chain as Chain
from app.store.history import Line as Line

PORTFOLIOS: Final = 1000
"""So many chains are read in one transaction."""


async def history(context: Context, loaded: Loaded, first: int, after: str | None) -> Page[Line]:
    """List what happened to a portfolio, newest first."""
    before = key_of(after, row_of)
    async with context.store.owned(context.owner_id, reading=True) as tx:
        found = await rows.load_latest(context.owner_id, tx, loaded.row.id, first + 1, before)
    return page_of(found, first, lambda line: str(line.sequence))


async def check(context: Context, loaded: Loaded) -> Chain:
    """Go through the chain of a portfolio from its first line on."""
    async with context.store.owned(context.owner_id, reading=True) as tx:
        return await rows.check_history(context.owner_id, tx, loaded.row.id)


@dataclass
class Verified:
    """How many chains and lines were gone through, and which chains are broken: the place of the first wrong line."""

    chains: int = 0
    lines: int = 0
    broken: dict[str, int] = field(default_factory=dict)


async def scan_verify(
    services: Services, *, owner: int | None, portfolio_id: str | None, tell: Callable[[Verified], None]
) -> Verified:
    """Go through the chains of all portfolios, of one owner's, or of one, by the page; tell how far it is.

    Raises NotFound for a portfolio that does not exist.
    """
    done = Verified()
    next_row: int | None = 0
    while next_row is not None:
        async with services.store.shared(reading=True) as tx:
            chains, next_row = await rows.scan_check_chains(
                tx, next_row, PORTFOLIOS, owner=owner, portfolio_id=portfolio_id
            )
        done.chains += len(chains)
        done.lines += sum(chain.lines for chain in chains.values())
        done.broken |= {key: chain.first_broken for key, chain in chains.items() if chain.first_broken is not None}
        tell(done)
    if portfolio_id is not None and not done.chains:
        raise NotFound("portfolio", portfolio_id, ["portfolio"])
    return done
