"""Nudges: short notes in a bounded stream that say whose rows changed, so that a reader looks now and not at its next
poll. A nudge may come late, twice or never; what it points at is in the database.
"""

from collections.abc import Collection

import orjson
from redis.asyncio import Redis

STREAM = "steelyard:nudges"

# Readers that fall this far behind look at everything, which costs one query. About 35 MB if every note is full.
STREAM_LENGTH = 10_000

# A note about more owners than this is about everybody: it keeps the stream small.
OWNERS_MAX = 500

# How long one read waits for news; also how soon an emptied stream is noticed.
BLOCK_S = 2.0
READ_MAX = 1000

# The place of a reader that found no note at all: it will read from the first.
EMPTY = b"0-0"

EVERYBODY: frozenset[int] = frozenset()


def encode(topic: str, owner_ids: Collection[int]) -> bytes:
    """Write a note; with an empty list of owners it is about everybody."""
    named = sorted(set(owner_ids))
    return orjson.dumps({"topic": topic, "owners": named if len(named) <= OWNERS_MAX else []})


def owners_of(note: bytes) -> frozenset[int]:
    """Return the owners a note names. One we cannot read, from another version perhaps, is about everybody."""
    try:
        return frozenset(int(owner) for owner in orjson.loads(note)["owners"])
    except (ValueError, TypeError, KeyError):
        return EVERYBODY


class Reader:
    """Follows the stream from its end. It holds its place by the last note it read, and that note must still be there.

    When it is not, the stream was emptied, or cut while the reader was behind: some notes were never read.
    """

    def __init__(self, redis: "Redis") -> None:
        self._redis = redis
        self._place: bytes | None = None

    def lose_place(self) -> None:
        """Start anew at the end of the stream: the connection broke, and notes may have come and gone."""
        self._place = None

    async def read(self) -> frozenset[int] | None:
        """Return the owners with news, EVERYBODY when notes may have been missed, None when there is no news."""
        if self._place is None:
            self._place = await self._end()
            return EVERYBODY
        reply = await self._redis.xread({STREAM: self._place}, count=READ_MAX, block=int(BLOCK_S * 1000))
        if not await self._is_there(self._place):
            self._place = await self._end()
            return EVERYBODY
        if not reply:
            return None
        [(_, notes)] = reply
        self._place = notes[-1][0]
        named = [owners_of(fields.get(b"note", b"")) for _, fields in notes]
        return EVERYBODY if EVERYBODY in named else frozenset().union(*named)

    async def _end(self) -> bytes:
        newest = await self._redis.xrevrange(STREAM, count=1)
        return newest[0][0] if newest else EMPTY

    async def _is_there(self, place: bytes) -> bool:
        return place == EMPTY or bool(await self._redis.xrange(STREAM, min=place, max=place))
