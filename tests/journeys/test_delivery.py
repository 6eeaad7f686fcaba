"""A price moves, and who asked to be told is: on a socket, by webhook and by e-mail, the same things in one order."""

from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from typing import Final

import pytest
from aiosmtpd.controller import Controller

from app.embedded import Servers
from app.store import db
from tests.builders import AS_OF
from tests.conftest import embedded_settings, temporary_folder
from tests.support import ALERTS, Person, Steelyard, _free_port
from tests.terminal.running import Running, running
from tests.workers.test_email import Mailbox

EVENTS: Final = ["ALERT_RAISED", "ALERT_ESCALATED", "ALERT_RESOLVED", "PLAN_READY"]
LOG: Final = """
query ($id: ID!) {
  portfolio(id: $id) { driftHistory(first: 1) { nodes { drift { entries { key actual drift status } } } } }
}
"""


@pytest.fixture
def mailbox() -> Iterator[tuple[Mailbox, int]]:
    mailbox = Mailbox()
    controller = Controller(mailbox, hostname="127.0.0.1", port=_free_port())
    controller.start()
    yield mailbox, controller.port
    controller.stop()


@pytest.fixture
async def telling(mailbox: tuple[Mailbox, int], tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Steelyard]:
    """Give a Steelyard that may call this machine, and knows a mail server."""
    with temporary_folder() as folder, Servers(embedded_settings(folder), fsync=False) as servers:
        await db.migrate(servers.endpoints.migrate_database_url)
        steelyard = Steelyard(
            servers.endpoints,
            tmp_path_factory.mktemp("telling"),
            webhook_loopback=True,
            smtp_url=f"smtp://127.0.0.1:{mailbox[1]}",
            mail_from="steelyard@example.com",
            delivery_poll_s=0.2,
            event_poll_s=0.5,
        )
        try:
            await steelyard.stand(AS_OF)
            steelyard.serve()
            steelyard.work()
            yield steelyard
        finally:
            steelyard.close()


async def watched(steelyard: Steelyard) -> tuple[Person, str]:
    """Give somebody 6 STOCK at 100 and 8 BOND at 50, wanted at 60 (55 to 65) and 40 percent."""
    await steelyard.operator.list_asset("STOCK", "100")
    await steelyard.operator.list_asset("BOND", "50", assetClass="BOND")
    person = steelyard.person("tess")
    portfolio_id = await person.create(
        accounts=[{"lots": [{"symbol": "STOCK", "quantity": "6"}, {"symbol": "BOND", "quantity": "8"}]}],
        targets=[
            {"key": "STOCK", "percent": 60, "band": {"absolute": 5}},
            {"key": "BOND", "percent": 40, "band": {"absolute": 40}},
        ],
        policy={"autoPropose": True},
    )
    return person, portfolio_id


async def by_mail(person: Person, mailbox: Mailbox) -> None:
    """Subscribe by e-mail, and bring the code back."""
    given = {"address": "tess@example.com", "events": EVENTS, "minSeverity": "WARNING"}
    email = (await person.done("emailCreate", "email { id }", **given))["email"]
    await mailbox.until(1)
    await person.done("emailConfirm", "email { id }", emailId=email["id"], code=mailbox.code())
    mailbox.taken.clear()


async def price(steelyard: Steelyard, to: str) -> None:
    """Move the price a minute later; nothing is scanned."""
    await steelyard.later(timedelta(minutes=1))
    await steelyard.operator.record({"STOCK": to})


async def verified(receiver: Running) -> list[str]:
    """Return what the next message was, without its id."""
    word, kind, delivery, *rest = (await receiver.line()).split("  ")
    assert word == "verified"
    assert delivery.startswith("dl_")
    return [kind, *rest]


SENTENCES: Final = [
    "STOCK is at 69.230769 %, target 60 %, band 55 to 65 %: outside.",
    "STOCK is at 75 %, target 60 %, band 55 to 65 %: outside by more than the band itself.",
    "STOCK is at 60 %, target 60 %, band 55 to 65 %: back inside.",
]


async def test_a_price_is_told_by_every_way_in_the_order_of_commits(
    telling: Steelyard, mailbox: tuple[Mailbox, int]
) -> None:
    person, portfolio_id = await watched(telling)
    post, port = mailbox[0], _free_port()
    await by_mail(person, post)
    given = {"url": f"http://127.0.0.1:{port}/", "events": EVENTS, "minSeverity": "WARNING"}
    secret = (await person.done("webhookCreate", "secret", **given))["secret"]
    after = (await person.ask("{ driftAlertsCursor }"))["driftAlertsCursor"]
    async with (
        running("receive", "--port", str(port), STEELYARD_WEBHOOK_SECRET=secret) as receiver,
        person.on_socket(ALERTS, after=after) as feed,
    ):
        assert (await receiver.line()).startswith("Receiving webhooks at ")
        await price(telling, "150")
        told = [await verified(receiver), await verified(receiver)]
        await price(telling, "200")
        told.append(await verified(receiver))
        await telling.next_hour()
        [logged] = (await person.ask(LOG, id=portfolio_id))["portfolio"]["driftHistory"]["nodes"]
        await price(telling, "100")
        told.append(await verified(receiver))
        heard, letters = await feed.until(4), await post.until(4)
    assert told == [
        ["alert.raised", "CRITICAL", SENTENCES[0]],
        ["plan.ready"],
        ["alert.escalated", "CRITICAL", SENTENCES[1]],
        ["alert.resolved", "CRITICAL", SENTENCES[2]],
    ]
    assert [(event["kind"], event["alert"]["kind"], event["alert"]["key"]) for event in heard] == [
        ("RAISED", "DRIFT", "STOCK"),
        ("RAISED", "PLAN_READY", None),
        ("ESCALATED", "DRIFT", "STOCK"),
        ("RESOLVED", "DRIFT", "STOCK"),
    ]
    assert len({event["cursor"] for event in heard}) == 4
    entry = logged["drift"]["entries"][0]
    assert entry == {"key": "STOCK", "status": "BREACHED", **heard[2]["alert"]["entry"]}
    assert (entry["actual"], entry["drift"]) == ("75", "15")
    assert [letter["Subject"] for letter in letters] == [
        "Steelyard: Alert - Savings",
        "Steelyard: A plan is ready - Savings",
        "Steelyard: Alert, worse than before - Savings",
        "Steelyard: Over - Savings",
    ]
    said = [letter.get_content() for letter in (letters[0], *letters[2:])]
    assert [sentence in text for sentence, text in zip(SENTENCES, said, strict=True)] == [True] * 3
