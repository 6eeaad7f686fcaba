"""The detail of a drift log, packed: what was measured of each sleeve, without names and without what follows from it.

It is JSON of arrays, deflated. The first item are the distinct bands, each other one is a sleeve:

    [key, target, place of its band, half-width down, members, status?, cash?, half-width up?, untargeted?, why?,
        volatility?, volatility above?]
    member: [row of the asset, quantity, price of one unit in the base currency, stale?]

Percents and money are plain decimal strings. What has a question mark is null, or left out at the end, where it is as
usual: WITHIN; worth the sum of its members, each of which is quantity x price, exactly; as wide up as down; targeted;
with the sentence that its band says without evidence; without volatility. Weight, drift, edges and the like are worked
out again by core, as when they were measured.

Measured with twelve sleeves of one asset each: 353 bytes, where JSON with names took 2,105 after PostgreSQL had
compressed it, and a fifth of the time to write it.
"""

import zlib
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from itertools import chain, islice, repeat
from typing import Any, Final

import orjson

from app.core.bands import Band, Width, Worked, work_out
from app.core.drift import DriftStatus, Entry, Member, entry_of, member_of
from app.core.money import EXACT, ZERO, exactly, plain
from app.core.portfolio import Asset
from app.core.stats import Volatility
from app.store import documents

# A small window and memory: a detail is a page at most, and setting up the usual ones takes four times as long.
_LEVEL: Final = 1
_WINDOW_BITS: Final = -12
_MEMORY: Final = 5

_MEMBERS: Final = 4
_FIELDS: Final = 12


def pack(entries: Sequence[Entry], rows: Mapping[str, int]) -> bytes:
    """Return entries as the bytes of a detail; `rows` are the rows of their assets by public id."""
    palette = list(dict.fromkeys(entry.band for entry in entries))
    places = {band: place for place, band in enumerate(palette)}
    packed = [_packed(entry, places[entry.band], rows) for entry in entries]
    deflate = zlib.compressobj(_LEVEL, zlib.DEFLATED, _WINDOW_BITS, _MEMORY)
    return deflate.compress(orjson.dumps([documents.to_document(palette), *packed])) + deflate.flush()


def unpack(detail: bytes) -> list[Any]:
    """Return the arrays of a detail, for `assets_in` and `entries_of`."""
    unpacked: list[Any] = orjson.loads(zlib.decompress(detail, _WINDOW_BITS))
    return unpacked


def assets_in(unpacked: Sequence[Any]) -> Iterator[int]:
    """Yield the rows of the assets that a detail names."""
    return (member[0] for entry in unpacked[1:] for member in entry[_MEMBERS])


def entries_of(unpacked: Sequence[Any], base: Decimal, assets: Mapping[int, Asset]) -> tuple[Entry, ...]:
    """Return the entries of a detail, equal to those that were packed; `base` is that of the report."""
    palette = [documents.from_document(Band, band) for band in unpacked[0]]
    return tuple(_entry(packed, palette, base, assets) for packed in unpacked[1:])


def _packed(entry: Entry, place: int, rows: Mapping[str, int]) -> list[Any]:
    width, within = entry.width, entry.status is DriftStatus.WITHIN
    packed = [
        *(entry.key, plain(entry.target), place, plain(width.down)),
        [_packed_member(member, rows) for member in entry.members],
        None if within else entry.status.value,
        None if entry.value == _worth(entry.members) else plain(entry.value),
        None if width.up == width.down else plain(width.up),
        None if entry.targeted else 1,
        None if entry.why == work_out(entry.band, entry.target).why else entry.why,
        documents.to_document(entry.volatility),
        documents.to_document(entry.volatility_above),
    ]
    while packed[-1] is None:
        packed.pop()
    return packed


def _packed_member(member: Member, rows: Mapping[str, int]) -> list[Any]:
    # Exact: a member's value is a quantity times one price and rate, which the context has the digits for.
    price = EXACT.divide(member.value, member.quantity)
    return [rows[member.asset.id], plain(member.quantity), plain(price), *([1] if member.stale else [])]


def _entry(packed: Sequence[Any], palette: Sequence[Band], base: Decimal, assets: Mapping[int, Asset]) -> Entry:
    key, percent, place, down, held, *more = islice(chain(packed, repeat(None)), _FIELDS)
    status, cash, up, untargeted, why, volatility, volatility_above = more
    band, target = palette[place], Decimal(percent)
    worked = Worked(
        Width(Decimal(down), Decimal(down if up is None else up)),
        work_out(band, target).why if why is None else why,
        volatility and documents.from_document(Volatility, volatility),
        volatility_above and documents.from_document(Volatility, volatility_above),
    )
    members = tuple(_member(member, base, assets) for member in held)
    return entry_of(
        key,
        target,
        _worth(members) if cash is None else Decimal(cash),
        members,
        base,
        band,
        worked,
        DriftStatus.WITHIN if status is None else DriftStatus(status),
        targeted=not untargeted,
    )


def _member(packed: Sequence[Any], base: Decimal, assets: Mapping[int, Asset]) -> Member:
    row, quantity, price, *stale = packed
    units = Decimal(quantity)
    return member_of(assets[row], units, EXACT.multiply(units, Decimal(price)), base, stale=bool(stale))


@exactly
def _worth(members: Sequence[Member]) -> Decimal:
    return sum((member.value for member in members), ZERO)
