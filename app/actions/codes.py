"""Codes that confirm a mailbox: 60 random bits, of which only the digest is kept."""

import secrets
from hashlib import sha256
from typing import Final

from app.core.ids import ALPHABET

LETTERS: Final = 12
GROUP: Final = 4


def new_code() -> str:
    """Make a code such as 7k3m-9x2p-4q8r."""
    letters = "".join(secrets.choice(ALPHABET) for _ in range(LETTERS))
    return "-".join(letters[start : start + GROUP] for start in range(0, LETTERS, GROUP))


def digest_of(code: str) -> str:
    """Return what is kept of a code; capitals, hyphens and spaces make no difference."""
    return sha256("".join(code.split()).replace("-", "").lower().encode()).hexdigest()
