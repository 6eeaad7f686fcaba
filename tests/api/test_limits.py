"""Documents just within and just beyond each limit, and what an operation costs."""

from collections.abc import AsyncIterator
from enum import Enum
from typing import Any

import pytest
import strawberry
from graphql import (
    GraphQLError,
    OperationDefinitionNode,
    build_schema,
    get_introspection_query,
    parse,
    specified_rules,
    validate,
)
from strawberry.types import ExecutionContext

from app.api import limits

SCHEMA = build_schema("""
type Query { me: Person, people(first: Int = 20, last: Int): PersonConnection, crowd(first: Int!): [Person] }
type PersonConnection { nodes: [Person!]!, edges: [PersonEdge!]!, totalCount: Int! }
type PersonEdge { node: Person! }
type Person { name: String, me: Person, friends: [Person!]!, nicknames: [String!]! }
""")


def cost(text: str, variables: dict[str, object] | None = None, operation_name: str | None = None) -> int:
    return limits.cost_of(parse(text), SCHEMA, variables, operation_name)


def excess_of(text: str) -> dict[str, object] | None:
    try:
        limits.check_shape(SCHEMA, parse(text))
    except GraphQLError as error:
        return error.extensions
    return None


def beyond(what: str, found: int, allowed: int) -> dict[str, object]:
    return {"code": "COST_LIMIT", "limit": what, "found": found, "allowed": allowed}


def nested(depth: int) -> str:
    return "{ " + "me { " * (depth - 1) + "name" + " }" * depth


def doubling(fragments: int, last: str = "name") -> str:
    """A document whose fragments spread the next one twice, so that it expands to 2 ^ fragments fields."""
    chain = " ".join(f"fragment F{i} on Person{{...F{i + 1} ...F{i + 1}}}" for i in range(fragments))
    return f"{{me{{...F0}}}} {chain} fragment F{fragments} on Person{{{last}}}"


# ---------------------------------------------------------------- each limit, just within and just beyond


@pytest.mark.parametrize(
    ("within", "outside", "excess"),
    [
        (nested(12), nested(13), beyond("depth", 13, 12)),
        (
            "{ me { " + "... { " * 5 + "me { name }" + " }" * 5 + " } }",
            "{ me { ...F } } fragment F on Person { " + "me { " * 11 + "name" + " }" * 12,
            beyond("depth", 13, 12),
        ),
        (
            "{ me { " + " ".join(f"a{i}: name" for i in range(15)) + " } }",
            "{ me { " + " ".join(f"a{i}: name" for i in range(16)) + " } }",
            beyond("aliases", 16, 15),
        ),
        ("{ " + "me " * 15 + "}", "{ " + "me " * 16 + "}", beyond("root fields", 16, 15)),
        (
            "{ ...F ...F ...F } fragment F on Query { me me me me me }",
            "{ ...F ...F ...F ... { me } } fragment F on Query { me me me me me }",
            beyond("root fields", 16, 15),
        ),
        (
            "{ me " + "@skip(if: false) " * 8 + "}",
            "query @skip(if: false) { me " + "@skip(if: false) " * 8 + "}",
            beyond("directives", 9, 8),
        ),
        (
            "{ me { ...F @a } } fragment F on Person @a { ... @a { name @a } } fragment G on Query @a @a @a @a { me }",
            "{ me { ...F @a } } fragment F on Person @a { ... @a { name @a } } query ($v: Int @a @a @a @a @a) { me }",
            beyond("directives", 9, 8),
        ),
        (
            doubling(9) + " ".join(f"fragment G{i} on Query {{ me }}" for i in range(10)),
            doubling(9) + " ".join(f"fragment G{i} on Query {{ me }}" for i in range(11)),
            beyond("fragments", 21, 20),
        ),
        (
            "{ crowd(first: 9999) { name } }",
            "{ crowd(first: 10000) { name } }",
            beyond("cost", 10_001, 10_000),
        ),
        (doubling(13), doubling(14), beyond("cost", 16_385, 10_000)),
    ],
)
def test_limit_holds_to_the_digit(within: str, outside: str, excess: dict[str, object]) -> None:
    assert excess_of(within) is None
    assert excess_of(outside) == excess


def test_every_operation_of_a_document_is_checked() -> None:
    assert excess_of("query A { me { name } } query B " + nested(13)) == beyond("depth", 13, 12)


def test_selections_nested_without_fields_are_refused_before_the_interpreter_gives_up() -> None:
    assert excess_of("{ " + "... { " * 99 + "me" + " }" * 100) is None
    assert excess_of("{ " + "... { " * 100 + "me" + " }" * 101) == beyond("nesting", 101, 100)
    chain = " ".join(f"fragment F{i} on Query {{ " + "... { " * 90 + f"...F{i + 1}" + " }" * 91 for i in range(19))
    assert excess_of("{ ...F0 } " + chain + " fragment F19 on Query { me }") == beyond("nesting", 101, 100)


# ---------------------------------------------------------------- time


def test_nested_fragments_are_read_once_however_far_they_expand() -> None:
    text = doubling(19)
    assert len(text) < 900
    document = parse(text)
    meter = limits.Meter(SCHEMA, document)
    operation = document.definitions[0]
    assert isinstance(operation, OperationDefinitionNode)
    assert meter.operation(operation).cost == 1 + 2**19
    assert meter.visits == 2 + 19 * 2 + 1


def test_fragments_that_spread_themselves_come_to_an_end() -> None:
    text = "{ me { ...A } } fragment A on Person { me { ...B name } } fragment B on Person { me { ...A } }"
    assert excess_of(text) is None
    assert cost(text) == 4


# ---------------------------------------------------------------- cost


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{ me { name } }", 2),
        ("{ me { friends { name me { name } } } }", 2 + 10 * 3),
        ("{ me { nicknames } }", 2),
        ("{ people { totalCount } }", 1 + 20),
        ("{ people(first: 5) { nodes { name } } }", 1 + 5 * 2),
        ("{ people(first: 5) { edges { node { name } } } }", 1 + 5 * 3),
        ("{ people(last: 30) { nodes { name } } }", 1 + 30 * 2),
        ("{ people(first: null) { nodes { name } } }", 1 + 100 * 2),
        ("{ people(first: 0) { nodes { name } } }", 1 + 1 * 2),
        ("{ people(first: -5) { nodes { name } } }", 1 + 1 * 2),
        ('{ people(first: "5") { nodes { name } } }', 1 + 100 * 2),
        ("{ crowd { name } }", 1 + 100),
        ("{ people(first: 3) { nodes { friends { name } } } }", 1 + 3 * (1 + 1 + 10)),
        ("{ people(first: 3) { ...F } } fragment F on PersonConnection { nodes { name } }", 1 + 3 * 2),
        ("{ people(first: " + "9" * 5000 + ") { totalCount } }", 1 + 10**9),
        ("{ nothing(first: 50) { at { all } } }", 3),
    ],
)
def test_operation_costs_its_fields_as_often_as_they_are_answered(text: str, expected: int) -> None:
    assert cost(text) == expected


@pytest.mark.parametrize(
    ("declaration", "variables", "page"),
    [
        ("$n: Int", {"n": 7}, 7),
        ("$n: Int", {"n": 7.0}, 7),
        ("$n: Int", {}, 20),
        ("$n: Int", None, 20),
        ("$n: Int = 5", {}, 5),
        ("$n: Int = 5", {"n": 50}, 50),
        ("$n: Int = 5", {"n": None}, 100),
        ("$n: Int", {"n": "7"}, 100),
        ("$n: Int", {"n": True}, 100),
        ("$n: Int", {"n": float("inf")}, 100),
    ],
)
def test_page_size_is_the_one_the_variable_has(
    declaration: str, variables: dict[str, object] | None, page: int
) -> None:
    text = f"query ({declaration}) {{ people(first: $n) {{ nodes {{ name }} }} }}"
    assert cost(text, variables) == 1 + page * 2


def test_only_the_operation_that_runs_is_costed() -> None:
    text = "query A { me { name } } query B { crowd(first: 50) { name } }"
    assert cost(text, operation_name="A") == 2
    assert cost(text, operation_name="B") == 51
    assert cost(text) == 0


# ---------------------------------------------------------------- in a schema of Strawberry's


@strawberry.enum
class Mood(Enum):
    CALM = "CALM"


@strawberry.input
class MoodInput:
    mood: Mood


@strawberry.type
class Person:
    name: str


@strawberry.type
class PersonConnection:
    nodes: list[Person]


@strawberry.type
class Query:
    @strawberry.field
    def me(self) -> Person:
        return Person(name="Ann")

    @strawberry.field
    def people(self, first: int = 20) -> PersonConnection:
        return PersonConnection(nodes=[Person(name="Ann")])

    @strawberry.field
    def cheer(self, mood: MoodInput) -> str:
        return mood.mood.value


@strawberry.type
class Subscription:
    @strawberry.subscription
    async def arrivals(self, first: int = 20) -> AsyncIterator[Person]:
        yield Person(name="Ann")


class QuietSchema(strawberry.Schema):
    def process_errors(self, errors: list[GraphQLError], execution_context: ExecutionContext | None = None) -> None:
        pass


OPEN = QuietSchema(Query, subscription=Subscription, extensions=limits.extensions(introspection=True))
CLOSED = QuietSchema(Query, extensions=limits.extensions(introspection=False))


async def errors_of(text: str, variables: dict[str, Any] | None = None, schema: strawberry.Schema = OPEN) -> list[str]:
    result = await schema.execute(text, variables)
    return [error.message for error in result.errors or []]


async def test_answer_says_what_it_cost() -> None:
    for _ in range(2):  # the second time from the caches
        result = await OPEN.execute("query ($n: Int) { people(first: $n) { nodes { name } } }", {"n": 50})
        assert result.errors is None
        assert result.extensions == {"cost": 101}


async def test_page_size_in_a_variable_is_refused_where_it_makes_the_operation_too_dear() -> None:
    text = "query ($n: Int = 1) { people(first: $n) { nodes { name } } }"
    assert (await OPEN.execute(text)).errors is None
    result = await OPEN.execute(text, {"n": 5000})
    assert result.data is None
    assert result.errors is not None
    assert [(error.message, error.extensions) for error in result.errors] == [
        (
            "the document exceeds the limit for cost: 10,001 where 10,000 is the most; "
            "ask for less, or in several requests",
            beyond("cost", 10_001, 10_000),
        )
    ]


async def test_subscription_is_limited_too() -> None:
    text = "subscription ($n: Int) { arrivals(first: $n) { name } }"
    [event] = [result async for result in await OPEN.subscribe(text, {"n": 20})]
    assert (event.data, event.errors, event.extensions) == ({"arrivals": {"name": "Ann"}}, None, {"cost": 21})
    [refusal] = [result async for result in await OPEN.subscribe(text, {"n": 10_000})]
    assert refusal.errors is not None
    assert [error.extensions for error in refusal.errors] == [beyond("cost", 10_001, 10_000)]


async def test_limit_is_told_alone_and_once() -> None:
    assert await errors_of("{ " + "stranger " * 16 + "}") == [
        "the document exceeds the limit for root fields: 16 where 15 is the most; ask for less, or in several requests"
    ]


async def test_long_document_is_not_even_parsed() -> None:
    refusal = "Syntax Error: Document contains more than 2000 tokens. Parsing aborted."
    within, outside = ("{ people(first: [" + "1 " * count + "]) { nodes { name } } }" for count in (1985, 1986))
    assert refusal not in await errors_of(within)
    assert await errors_of(outside) == [refusal]


async def test_deeply_nested_document_does_not_break_the_parser() -> None:
    assert len(await errors_of("{ me " * 1000)) == 1


@pytest.mark.parametrize(
    ("text", "variables", "message"),
    [
        ("{ mee { name } }", None, "Cannot query field 'mee' on type 'Query'."),
        ("{ people(fist: 1) { nodes { name } } }", None, "Unknown argument 'fist' on field 'Query.people'."),
        ("query ($p: Persn) { me { name } }", None, "Unknown type 'Persn'."),
        ("{ cheer(mood: {mood: CALMM}) }", None, "Value 'CALMM' does not exist in 'Mood' enum."),
    ],
)
async def test_wrong_name_is_not_put_right(text: str, variables: dict[str, Any] | None, message: str) -> None:
    assert message in await errors_of(text, variables)


def test_rule_keeps_suggestions_from_being_sought() -> None:
    [error] = validate(SCHEMA, parse("{ mee }"), [*specified_rules, *limits.RULES])
    assert error.message == "Cannot query field 'mee' on type 'Query'."


async def test_wrong_name_in_a_variable_is_not_put_right() -> None:
    query = "query ($m: MoodInput!) { cheer(mood: $m) }"
    messages = [
        *await errors_of(query, {"m": {"mod": "CALM", "mood": "CALM"}}),
        *await errors_of(query, {"m": {"mood": "CALMM"}}),
    ]
    assert len(messages) == 2
    assert not any("Did you mean" in message for message in messages)


async def test_standard_introspection_passes_or_is_refused_by_the_setting() -> None:
    assert await errors_of(get_introspection_query()) == []
    refused = await errors_of("{ __schema { description } }", schema=CLOSED)
    assert refused == [
        "GraphQL introspection has been disabled, but the requested query contained the field '__schema'."
    ]
    assert await errors_of("{ me { __typename name } }", schema=CLOSED) == []


async def test_introspection_has_its_own_depth() -> None:
    def wrapped(depth: int) -> str:
        return "{ __schema { queryType { " + "ofType { " * (depth - 3) + "name" + " }" * depth

    assert await errors_of(wrapped(20)) == []
    assert await errors_of(wrapped(21)) == [
        "the document exceeds the limit for introspection depth: 21 where 20 is the most; "
        "ask for less, or in several requests"
    ]


async def test_introspection_that_goes_round_in_the_schema_is_refused() -> None:
    text = "{ __schema { types " + "{ fields { type " * 4 + "{ name }" + " } }" * 4 + " } }"
    assert await errors_of(text) == ["Maximum introspection depth exceeded"]


def test_rules_are_built_once() -> None:
    first, second = limits.extensions(introspection=True)[-1](), limits.extensions(introspection=True)[-1]()
    assert isinstance(first, limits.DocumentLimits)
    assert isinstance(second, limits.DocumentLimits)
    assert first.rules is second.rules
