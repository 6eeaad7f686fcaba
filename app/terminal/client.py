"""The API as its commands call it: over HTTP, with a token, from outside like everybody."""

import json
from collections.abc import AsyncGenerator, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final
from urllib.parse import urlsplit

import httpx2

from app.core.errors import InvalidInput, Required, SteelyardError, Unauthenticated

CONNECT_S: Final = 5.0
ANSWER_S: Final = 30.0
QUIET_S: Final = 45.0
"""A stream without even a heartbeat, which comes every 15 s, is dead."""

PASSING: Final = ("UNAVAILABLE", "INTERNAL")
"""Codes of what may be over in a while."""

ADVICE: Final = "make a new one with `steelyard token`, or get one from your issuer"


class Away(Exception):
    """The API does not answer now; it may later."""


class Client:
    """One caller of the API."""

    def __init__(self, url: str, token: str) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise InvalidInput(f"{url!r} is no address; write that of the API, e.g. http://127.0.0.1:8000", ["url"])
        if not token or not token.isascii() or not token.isprintable():
            raise Required(f"which token? give --token or set STEELYARD_TOKEN; {ADVICE}", ["token"])
        self.url = url.rstrip("/")
        self._http = httpx2.AsyncClient(
            base_url=self.url,
            headers={"authorization": f"Bearer {token}"},
            timeout=httpx2.Timeout(ANSWER_S, connect=CONNECT_S),
            trust_env=False,
        )

    async def __aenter__(self) -> "Client":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._http.aclose()

    async def ask(self, document: str, **variables: object) -> Any:
        """Run one operation and return its data."""
        with self._failures():
            response = await self._http.post("/graphql", json={"query": document, "variables": variables})
        self._check(response.status_code, response.content)
        return _data(_read(response.content))

    async def follow(self, document: str, **variables: object) -> AsyncGenerator[Any, None]:
        """Yield what a subscription sends, until it completes; Away when the stream breaks before."""
        headers = {"accept": "text/event-stream"}
        body = {"query": document, "variables": variables}
        timeout = httpx2.Timeout(ANSWER_S, connect=CONNECT_S, read=QUIET_S)
        with self._failures():
            async with self._http.stream("POST", "/graphql", json=body, headers=headers, timeout=timeout) as response:
                if not response.headers.get("content-type", "").startswith("text/event-stream"):
                    body_read = await response.aread()
                    self._check(response.status_code, body_read)
                    _data(_read(body_read))
                async for event in httpx2.EventSource(response):
                    if event.event == "complete":
                        return
                    if event.event == "next":
                        yield _data(_read(event.data))
        raise Away("the stream was cut")

    @contextmanager
    def _failures(self) -> Iterator[None]:
        try:
            yield
        except httpx2.TimeoutException:
            raise Away(f"{self.url} does not answer") from None
        except httpx2.TransportError as error:
            raise Away(f"{self.url} cannot be reached: {error or type(error).__name__}") from None

    def _check(self, status: int, body: bytes) -> None:
        """Tell what will not get better by itself from what may."""
        if status == 401:
            raise Unauthenticated(f"the API refuses the token: {_first_message(body)} (401); {ADVICE}", ["token"])
        if status == 429 or status >= 500:
            raise Away(f"{self.url} answers {status}")
        if status not in (200, 400):
            raise InvalidInput(f"{self.url}/graphql answers {status}; is there a Steelyard at this address?", ["url"])


def _read(body: bytes | str) -> Mapping[str, Any]:
    try:
        found = json.loads(body)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise InvalidInput("the answer is no JSON object; is there a Steelyard at this address?", ["url"])
    return found


def _data(answer: Mapping[str, Any]) -> Any:
    """Return the data of an answer, or raise its first error."""
    errors = answer.get("errors") or ()
    for error in errors:
        message, code = error.get("message", ""), (error.get("extensions") or {}).get("code", "")
        if code == "UNAUTHENTICATED":
            raise Unauthenticated(f"{message} (4403); {ADVICE}", ["token"])
        if code in PASSING:
            raise Away(f"the API answers {code}: {message}")
        raise SteelyardError(f"the API answers {code}: {message}")
    return answer.get("data")


def _first_message(body: bytes) -> str:
    errors = _read(body).get("errors") or [{}]
    return str(errors[0].get("message", "no reason given"))


def one_line(text: object) -> str:
    """Return a text for one line of a terminal: what would move the cursor or break the line is written out."""
    return "".join(character if character.isprintable() else ascii(character)[1:-1] for character in str(text))
