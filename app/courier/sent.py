"""What became of something that was sent."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Sent:
    """The answer to one attempt, in the receiver's own numbers: an HTTP status, or the reply code of SMTP.

    `status_code` is None when there was no answer. `error` is a sentence for the owner, None when it arrived.
    """

    status_code: int | None
    latency_ms: int
    error: str | None

    @property
    def ok(self) -> bool:
        """Whether the receiver took it over."""
        return self.status_code is not None and 200 <= self.status_code < 300

    @property
    def gone(self) -> bool:
        """Whether the receiver asks us never to come again."""
        return self.status_code == 410
