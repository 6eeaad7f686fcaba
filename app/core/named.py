"""What a request for a plan names must be there: symbols that are held or targeted, lots that are open."""

from collections.abc import Mapping, Sequence

from app.core.drift import Snapshot
from app.core.errors import InvalidInput, NotFound
from app.core.policy import LotMethod


def check_symbols(snapshot: Snapshot, named: Mapping[str, Sequence[str]]) -> None:
    """Refuse a symbol, by the field that names it, that is neither held nor targeted: it may be misspelt."""
    known = {asset.symbol for asset in snapshot.market.assets.values()}
    for field, symbols in named.items():
        for place, symbol in enumerate(symbols):
            if symbol not in known:
                raise InvalidInput(f"{symbol} is neither held nor targeted; is it misspelt?", [field, place])


def check_lots(snapshot: Snapshot, lot_ids: Sequence[str]) -> None:
    """Refuse lots to sell that are not open here, or that the policy's lot method would not look at."""
    method = snapshot.policy.lot_method
    if lot_ids and method is not LotMethod.SPEC_ID:
        raise InvalidInput(
            f"lots are named, but the policy's lotMethod is {method.value}; only SPEC_ID sells the lots that are named",
            ["sellLots"],
        )
    known = {lot.id for account in snapshot.portfolio.accounts for lot in account.lots}
    for place, lot_id in enumerate(lot_ids):
        if lot_id not in known:
            raise NotFound("lot", lot_id, ["sellLots", place])
