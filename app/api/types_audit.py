"""The schema's types of the audit trail."""

from datetime import datetime

import orjson
import strawberry

from app.actions.audit import Chain, Line
from app.actions.pages import Page
from app.api.paging import page_info
from app.api.types import PageInfo

field = strawberry.field


@strawberry.type(
    description="One line of the history of a portfolio. Lines are only ever added, and each is chained to the one "
    "before: `hash` is the sha256 of `previousHash` followed by `text`, in hexadecimal."
)
class HistoryLine:
    sequence: int = field(description="Place in the chain, from 1 without a gap.")
    kind: str = field(description='What happened, e.g. "PLAN_APPROVED".')
    subject: str = field(description="Global id of what changed; empty where there is none.")
    actor: str = field(description="Who did it: the owner's subject, a tool, or a part of the server.")
    at: datetime = field(description="When, by the server's domain clock.")
    document: str = field(description="How it is now, and `before` how it was, as JSON.")
    text: str = field(description="All of the line as text, which the hash is of.")
    previous_hash: str = field(description="Hash of the line before; 64 zeros for the first.")
    hash: str = field(description="Hash of this line.")

    @classmethod
    def of(cls, line: Line) -> "HistoryLine":
        return cls(
            sequence=line.sequence,
            kind=line.kind,
            subject=line.subject,
            actor=line.actor,
            at=line.at,
            document=orjson.dumps(line.document).decode(),
            text=line.canonical,
            previous_hash=line.previous_hash,
            hash=line.hash,
        )


@strawberry.type(description="Page of a history, newest first.")
class HistoryLineConnection:
    nodes: list[HistoryLine] = field(description="The lines.")
    page_info: PageInfo = field(description="Where this page stands.")

    @classmethod
    def of(cls, page: Page[Line]) -> "HistoryLineConnection":
        return cls(nodes=[HistoryLine.of(line) for line in page.items], page_info=page_info(page))


@strawberry.type(
    description="Whether the history of a portfolio is whole: gone through line by line, from the first on. Who keeps "
    "`lines` and `lastHash` elsewhere sees later that none of these lines was taken away or written anew."
)
class AuditTrail:
    whole: bool = field(description="True when no line is missing, edited or out of place.")
    lines: int = field(description="How many lines are sound, from the first on.")
    last_hash: str = field(description="Hash of the last of them; 64 zeros when there is none.")
    first_broken: int | None = field(description="Place of the first line that is not; null when all are.")

    @classmethod
    def of(cls, chain: Chain) -> "AuditTrail":
        return cls(
            whole=chain.first_broken is None,
            lines=chain.lines,
            last_hash=chain.last_hash,
            first_broken=chain.first_broken,
        )
