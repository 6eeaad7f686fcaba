"""Public ids: a prefix that says the type, and 26 Crockford base-32 characters of a UUID.

A UUID has 128 bits and 26 characters hold 130, so the first character is 0..7. Encoding keeps the order, so ids
of UUIDv7 sort by time. Only the shell makes new ids.
"""

import re
from typing import Final
from uuid import UUID

ALPHABET: Final = "0123456789abcdefghjkmnpqrstvwxyz"
_VALUES: Final = {letter: value for value, letter in enumerate(ALPHABET)}
_TEXT: Final = re.compile(r"[0-7][0-9a-hjkmnp-tv-z]{25}")

OWNER: Final = "ow"
PORTFOLIO: Final = "pf"
ACCOUNT: Final = "ac"
ASSET: Final = "as"
HOLDING: Final = "hd"
LOT: Final = "lt"
TARGETS: Final = "tg"
PLAN: Final = "pl"
TRADE: Final = "tr"
ALERT: Final = "al"
SCAN: Final = "sc"
WEBHOOK: Final = "wh"
EMAIL: Final = "em"
DELIVERY: Final = "dl"
ORDER: Final = "or"
FILL: Final = "fl"
SALE: Final = "sa"
BULK: Final = "bk"
BLOCK: Final = "bo"


def encode(prefix: str, uuid: UUID) -> str:
    """Return the public id of `uuid`: prefix, underscore, 26 characters."""
    number = uuid.int
    letters = [""] * 26
    for place in range(25, -1, -1):
        letters[place] = ALPHABET[number & 31]
        number >>= 5
    return f"{prefix}_{''.join(letters)}"


def decode(prefix: str, text: str) -> UUID | None:
    """Return the UUID of a public id, or None when it is not one of this type: then nothing has it."""
    head, _, tail = text.partition("_")
    if head != prefix or not _TEXT.fullmatch(tail):
        return None
    number = 0
    for letter in tail:
        number = number << 5 | _VALUES[letter]
    return UUID(int=number)


def holding_id(account_id: str, asset_id: str) -> str:
    """Return the id of the holding of one asset in one account, derived from both, so it needs no row."""
    return f"{HOLDING}_{account_id.partition('_')[2]}{asset_id.partition('_')[2]}"
