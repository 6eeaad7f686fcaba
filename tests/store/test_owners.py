"""An owner is issuer and subject together."""

import asyncio

from app.context import new_uuid
from app.store import owners
from app.store.db import Store
from tests.builders import AS_OF


async def find(store: Store, issuer: str, subject: str) -> owners.Owner:
    async with store.shared() as tx:
        return await owners.find_or_create(tx, issuer, subject, AS_OF, new_uuid)


async def test_eight_first_requests_make_one_owner_with_one_taxpayer_group(store: Store) -> None:
    found = await asyncio.gather(*(find(store, "test", "alice") for _ in range(8)))
    assert len(set(found)) == 1
    async with store.shared() as tx:
        assert await tx.value("SELECT count(*) FROM taxpayer_groups") == 1


async def test_the_same_subject_of_another_issuer_is_somebody_else(store: Store) -> None:
    one, two = await find(store, "one", "alice"), await find(store, "two", "alice")
    assert one.id != two.id
    assert one.public_id.startswith("ow_")


async def test_a_known_owner_is_one_statement(store: Store) -> None:
    await find(store, "test", "alice")
    before = store.statements
    await find(store, "test", "alice")
    assert store.statements - before == 1
