"""E-mail: a code first, and nothing else before it came back."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import timedelta
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Any

import pytest
from aiosmtpd.controller import Controller

from app.actions import hooks
from app.context import Context, Services
from app.core.alerts import AlertSeverity
from app.core.errors import InvalidInput, InvalidState
from app.core.hooks import HookEvent, HookKind
from app.store.hooks import Hook
from tests.store.world import World
from tests.support import _free_port, until
from tests.workers.hooked import delivering, portfolio, quick, rows, tell, until_rows


@dataclass
class Mailbox:
    """A mail server on this machine, which keeps what it takes."""

    taken: list[EmailMessage] = field(default_factory=list)
    to: list[str] = field(default_factory=list)

    async def handle_DATA(self, _server: Any, _session: Any, envelope: Any) -> str:
        message = message_from_bytes(envelope.content, policy=policy.default)
        assert isinstance(message, EmailMessage)
        self.taken.append(message)
        self.to += envelope.rcpt_tos
        return "250 OK"

    async def until(self, count: int) -> list[EmailMessage]:
        async def enough() -> bool:
            return len(self.taken) >= count

        await until(enough)
        return self.taken

    def code(self) -> str:
        """Return the code in the last message."""
        found = re.search(r"[0-9a-z]{4}-[0-9a-z]{4}-[0-9a-z]{4}", self.taken[-1].get_content())
        assert found
        return found[0]


@pytest.fixture
def post(services: Services) -> Iterator[tuple[Mailbox, Services]]:
    mailbox = Mailbox()
    controller = Controller(mailbox, hostname="127.0.0.1", port=_free_port())
    controller.start()
    yield mailbox, quick(services, smtp_url=f"smtp://127.0.0.1:{controller.port}", mail_from="steelyard@example.com")
    controller.stop()


async def subscribe(owner: Context) -> Hook:
    events = [HookEvent.ALERT_RAISED]
    return await hooks.create_email(owner, address="ann@example.com", events=events, least=AlertSeverity.INFO)


async def test_nothing_goes_out_before_the_code_came_back(
    post: tuple[Mailbox, Services], world: World, alice: Context
) -> None:
    mailbox, services = post
    owner, kept = replace(alice, settings=services.settings), await portfolio(world)
    email = await subscribe(owner)
    async with delivering(services, smtp_url=services.settings.smtp_url):
        await mailbox.until(1)
        await tell(world, kept, "UNHEARD")
        with pytest.raises(InvalidState):
            await hooks.test_email(owner, email.id, HookEvent.ALERT_RAISED)
        with pytest.raises(InvalidInput, match="4 of 5 tries are left"):
            await hooks.confirm_email(owner, email.id, "wrong")
        sent = mailbox.code()
        confirmed = await hooks.confirm_email(owner, email.id, f" {sent.upper()} ")
        assert confirmed.confirmed_at
        await tell(world, kept, "AAPL")
        code, alert = await mailbox.until(2)
        assert (await hooks.test_email(owner, email.id, HookEvent.PLAN_READY)).ok
        await mailbox.until(3)
        await until_rows(world, [("CONFIRM", "DELIVERED", 1), ("ALERT_RAISED", "DELIVERED", 1)])
    assert (code["To"], code["From"], code["Subject"]) == (
        "ann@example.com",
        "steelyard@example.com",
        "Confirm this address for Steelyard",
    )
    assert alert["Subject"] == "Steelyard: Alert - Test"
    text = alert.get_content().replace("\r\n", "\n")
    assert text == "CRITICAL: AAPL: RAISED\n\nPortfolio: Test\nTime: 2024-06-03T16:00:00Z\n"
    assert mailbox.to == ["ann@example.com"] * 3
    assert (await rows(world, "payload IS NULL"))[0] == (True,), "the code is nowhere but in the mail"
    assert await world.sql("SELECT count(*) FROM hooks h WHERE strpos(h::text, $1) > 0", sent) == 0


async def test_after_five_wrong_codes_even_the_right_one_is_refused_until_a_new_one_is_sent(
    post: tuple[Mailbox, Services], world: World, alice: Context
) -> None:
    mailbox, services = post
    owner = replace(alice, settings=services.settings)
    email = await subscribe(owner)
    async with delivering(services):
        await mailbox.until(1)
        first = mailbox.code()
        for left in ("4 of 5 tries are", "3 of 5 tries are", "2 of 5 tries are", "1 of 5 tries are", "no tries are"):
            with pytest.raises(InvalidInput, match=left):
                await hooks.confirm_email(owner, email.id, "wrong")
        with pytest.raises(InvalidInput, match="no tries are left"):
            await hooks.confirm_email(owner, email.id, first)
        await hooks.update_email(owner, email.id, address="ann@example.com")
        await mailbox.until(2)
        second = mailbox.code()
        assert second != first
        late = replace(owner, wall=owner.wall + timedelta(hours=25))
        with pytest.raises(InvalidInput):
            await hooks.confirm_email(late, email.id, second)
        assert (await hooks.confirm_email(owner, email.id, second)).confirmed_at


async def test_another_address_is_asked_anew_and_gets_nothing_of_the_one_before(
    post: tuple[Mailbox, Services], world: World, alice: Context
) -> None:
    mailbox, services = post
    owner, kept = replace(alice, settings=services.settings), await portfolio(world)
    email = await subscribe(owner)
    async with delivering(services):
        await mailbox.until(1)
        await hooks.confirm_email(owner, email.id, mailbox.code())
        await hooks.update_email(owner, email.id, enabled=False)
        await tell(world, kept, "UNHEARD")
        changed = await hooks.update_email(owner, email.id, address="bob@example.com", enabled=True)
        assert changed.confirmed_at is None
        await tell(world, kept, "AAPL")
        await mailbox.until(2)
        await hooks.confirm_email(owner, email.id, mailbox.code())
        await tell(world, kept, "BND")
        await mailbox.until(3)
    assert mailbox.to == ["ann@example.com", "bob@example.com", "bob@example.com"]
    assert "BND: RAISED" in mailbox.taken[-1].get_content()


async def test_without_a_mail_server_it_is_said_at_once(services: Services, alice: Context) -> None:
    with pytest.raises(InvalidInput, match="no mail server is set: STEELYARD_SMTP_URL and STEELYARD_MAIL_FROM"):
        await subscribe(alice)
    assert (await hooks.page(alice, HookKind.EMAIL, 10, None)).items == ()
