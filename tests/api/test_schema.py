"""The conventions of the schema: what a client that knows one part may expect of all others."""

from collections.abc import Iterator
from enum import Enum

import pytest
from graphql import (
    GraphQLField,
    GraphQLInterfaceType,
    GraphQLNonNull,
    GraphQLObjectType,
    build_schema,
    get_named_type,
    is_list_type,
)
from graphql.type.definition import get_nullable_type

from app.api import errors, limits
from app.api.schema import printed
from app.core import alerts, bands, drift, hooks, lots, plan, policy, portfolio, trades
from app.core.errors import SteelyardError
from app.core.optimize import allocate

SCHEMA = build_schema(printed())
OBJECTS = [
    kind
    for kind in SCHEMA.type_map.values()
    if isinstance(kind, GraphQLObjectType | GraphQLInterfaceType) and not kind.name.startswith("__")
]


def fields() -> Iterator[tuple[str, GraphQLField]]:
    yield from ((f"{kind.name}.{name}", field) for kind in OBJECTS for name, field in kind.fields.items())


def mutations() -> dict[str, GraphQLField]:
    assert SCHEMA.mutation_type
    return dict(SCHEMA.mutation_type.fields)


def test_no_number_is_a_float() -> None:
    assert "Float" not in SCHEMA.type_map


def test_decimals_are_told_from_percents_and_money_from_both() -> None:
    money = SCHEMA.type_map["Money"]
    assert isinstance(money, GraphQLObjectType)
    assert {name: str(field.type) for name, field in money.fields.items()} == {
        "amount": "Decimal!",
        "currency": "CurrencyCode!",
    }


@pytest.mark.parametrize("name", mutations())
def test_mutation_has_one_input_and_a_payload_with_its_errors(name: str) -> None:
    field = mutations()[name]
    kind = name[0].upper() + name[1:]
    assert {given: str(argument.type) for given, argument in field.args.items()} in ({"input": f"{kind}Input!"}, {})
    payload = get_named_type(field.type)
    assert (str(field.type), payload.name) == (f"{kind}Payload!", f"{kind}Payload")
    assert isinstance(payload, GraphQLObjectType)
    assert str(payload.fields["userErrors"].type) == "[UserError!]!"
    others = [field for name, field in payload.fields.items() if name != "userErrors"]
    assert others
    assert not any(isinstance(field.type, GraphQLNonNull) for field in others)


@pytest.mark.parametrize("kind", [kind for kind in OBJECTS if kind.name.endswith("Connection")], ids=str)
def test_connection_is_a_page(kind: GraphQLObjectType) -> None:
    assert set(kind.fields) == {"nodes", "pageInfo"}
    assert str(kind.fields["pageInfo"].type) == "PageInfo!"
    assert is_list_type(get_nullable_type(kind.fields["nodes"].type))
    assert get_named_type(kind.fields["nodes"].type).name in (kind.name.removesuffix("Connection"), "Asset")


def test_every_connection_is_bounded_and_has_a_cursor() -> None:
    paged = {name: field for name, field in fields() if get_named_type(field.type).name.endswith("Connection")}
    assert len(paged) > 8
    for name, field in paged.items():
        assert {
            argument: str(given.type) for argument, given in field.args.items() if argument in ("first", "after")
        } == {
            "first": "Int!",
            "after": "String",
        }, name
    sized = {name for name, field in fields() if "first" in field.args}
    assert sized == set(paged)


def test_lists_without_pages_stay_within_one_object() -> None:
    """A list at the top would grow with the data."""
    assert SCHEMA.query_type
    assert [
        name for name, field in SCHEMA.query_type.fields.items() if is_list_type(get_nullable_type(field.type))
    ] == []


def test_lists_hold_no_nulls() -> None:
    lists = {name: str(field.type) for name, field in fields() if "[" in str(field.type)}
    assert [name for name, kind in lists.items() if not kind.rstrip("!").endswith("!]")] == []


def test_what_has_an_id_is_a_node() -> None:
    nodes = {kind.name for kind in SCHEMA.get_implementations(SCHEMA.type_map["Node"]).objects}  # type: ignore[arg-type]
    with_id = {kind.name for kind in OBJECTS if "id" in kind.fields}
    # Targets of a what-if have none: theirs is null.
    assert with_id - nodes == {"Node", "Targets"}


def test_user_errors_share_their_interface() -> None:
    found = SCHEMA.get_implementations(SCHEMA.type_map["UserError"]).objects  # type: ignore[arg-type]
    assert {kind.name for kind in found} == {kind.__name__ for kind in errors.USER_ERROR_TYPES}
    assert all({"message", "code", "path"} <= set(kind.fields) for kind in found)


def test_every_code_of_core_is_told() -> None:
    def codes(kind: type[SteelyardError]) -> set[str]:
        ours = [below for below in kind.__subclasses__() if below.__module__ == SteelyardError.__module__]
        return {kind.code}.union(*map(codes, ours))

    at_the_top = {"UNAUTHENTICATED", "FORBIDDEN"}
    assert codes(SteelyardError) - at_the_top == {code.name for code in errors.ErrorCode}


@pytest.mark.parametrize(
    "kind",
    [
        *(alerts.AlertKind, alerts.AlertSeverity, alerts.AlertStatus, alerts.AlertEventKind),
        *(bands.BandKind, bands.Destination, drift.DriftStatus, lots.GainTerm, policy.LotMethod),
        *(portfolio.AccountKind, portfolio.AssetClass, portfolio.PortfolioStatus),
        *(hooks.HookEvent, hooks.DeliveryStatus),
        *(plan.PlanStatus, plan.TradeReason, allocate.PlanScope, trades.SkipReason, trades.TradeSide),
    ],
)
def test_enumerations_of_core_are_shown_as_they_are(kind: type[Enum]) -> None:
    shown = SCHEMA.type_map[kind.__name__]
    assert list(shown.values) == [member.name for member in kind]  # type: ignore[attr-defined]


def test_limits_are_those_that_are_promised() -> None:
    assert (limits.TOKENS_MAX, limits.DEPTH_MAX, limits.COST_MAX) == (2000, 12, 10_000)
    assert (limits.ALIASES_MAX, limits.ROOT_FIELDS_MAX, limits.DIRECTIVES_MAX, limits.FRAGMENTS_MAX) == (15, 15, 8, 20)
