"""What goes out is tested against real servers on this machine."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from app.courier import webhooks
from tests.courier.internet import Authority, Internet


@pytest.fixture
async def internet(monkeypatch: pytest.MonkeyPatch) -> Internet:
    return Internet(monkeypatch)


@pytest.fixture
async def authority(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Authority]:
    """Give an authority that this machine trusts while the test runs, as operators add one of their own."""
    made = Authority(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(made.file))
    webhooks._tls.cache_clear()
    yield made
    webhooks._tls.cache_clear()
