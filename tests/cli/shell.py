"""The command line as a shell sees it: arguments and environment in, exit code and two streams out."""

import contextlib
import io
import json
import logging
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from unittest.mock import patch

from app import __main__ as command_line
from app import settings

SECRET: Final = "9f1c3b7a5d2e8064b7d1f3a9c5e70812d4b6f8a0c2e41357"
OURS: Final = ("STEELYARD_", "DATABASE_URL", "REDIS_URL")


@dataclass(frozen=True)
class Said:
    """What a command said, and how it ended."""

    code: int
    out: str
    err: str

    def json(self) -> Any:
        assert (self.code, self.err) == (0, ""), self
        return json.loads(self.out)

    def error(self) -> str:
        """Return the one sentence of a command that failed."""
        assert (self.code, self.out) == (1, ""), self
        assert self.err.startswith("error: "), self
        assert self.err.count("\n") == 1, self
        return self.err.removeprefix("error: ").removesuffix("\n")


class Stream(io.TextIOWrapper):
    """A standard stream of a shell that knows UTF-8; Python writes what is none to standard error all the same."""

    def __init__(self, errors: str) -> None:
        super().__init__(io.BytesIO(), encoding="utf-8", errors=errors, write_through=True)

    @property
    def text(self) -> str:
        self.flush()
        written = self.buffer
        assert isinstance(written, io.BytesIO)
        return written.getvalue().decode()


def environment(**given: str) -> dict[str, str]:
    """Return our environment without settings, but for those given."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(OURS)}
    return {**kept, "NO_COLOR": "1", "COLUMNS": "100", **given}


def steelyard(*arguments: str | Path, given: Mapping[str, str] | None = None) -> Said:
    """Run a command in this process; an exception that gets out of it, which a shell shows as a traceback, fails."""
    out, err = Stream("strict"), Stream("backslashreplace")
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    settings.load.cache_clear()
    with (
        patch.object(sys, "argv", ["steelyard", *map(str, arguments)]),
        patch.dict(os.environ, environment(**given or {}), clear=True),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        try:
            command_line.main()
            code = 0
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else 0 if end.code is None else 1
    root.handlers, root.level = handlers, level
    settings.load.cache_clear()
    return Said(code, out.text, err.text)
