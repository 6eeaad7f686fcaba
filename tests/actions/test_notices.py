"""What hooks are told is what the documentation shows and what the API says."""

import json
import re
from pathlib import Path

import pytest
from graphql import GraphQLObjectType, build_schema, get_named_type

from app.actions import notices, samples
from app.api.schema import printed
from app.core.hooks import HookEvent, HookKind

DOCS = Path(__file__).parents[2] / "docs" / "webhooks.md"


def body_of(event: HookEvent) -> dict[str, object]:
    found: dict[str, object] = json.loads(notices.write(samples.sample(event), HookKind.WEBHOOK))
    return found


def test_the_documented_body_is_the_one_that_is_sent() -> None:
    [shown] = re.findall(r"```json\n(.*?)```", DOCS.read_text(), re.DOTALL)
    assert json.loads(shown) == body_of(HookEvent.ALERT_RAISED)


@pytest.mark.parametrize("event", HookEvent)
def test_every_event_is_documented_and_has_a_sample_for_both_kinds(event: HookEvent) -> None:
    assert f"`{event.value}`" in DOCS.read_text()
    assert list(body_of(event)) == ["type", "timestamp", "data"]
    mail = json.loads(notices.write(samples.sample(event), HookKind.EMAIL))
    assert mail["subject"].startswith("Steelyard: ")
    assert "\n" not in mail["subject"]


def named(kind: GraphQLObjectType, data: dict[str, object], where: str) -> None:
    """Check that every name in `data` is one of the API's type, as deep as it goes."""
    for name, value in data.items():
        assert name in kind.fields, f"{where}.{name}"
        inner = get_named_type(kind.fields[name].type)
        if isinstance(value, dict):
            assert isinstance(inner, GraphQLObjectType)
            named(inner, value, f"{where}.{name}")


def test_an_alert_is_told_under_the_names_of_the_api() -> None:
    schema = build_schema(printed())
    kind = schema.type_map["DriftAlert"]
    assert isinstance(kind, GraphQLObjectType)
    data = body_of(HookEvent.ALERT_RAISED)["data"]
    assert isinstance(data, dict)
    named(kind, data, "alert")
    assert set(data) == set(kind.fields), "the alert is told whole"
