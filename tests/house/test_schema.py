"""`schema.graphql` is what the code serves, and everything in it is explained."""

import re
from collections.abc import Iterator

import pytest
from graphql import (
    GraphQLEnumType,
    GraphQLInputObjectType,
    GraphQLInterfaceType,
    GraphQLObjectType,
    GraphQLSchema,
    build_schema,
)

from app.api.schema import printed
from tests.house.sources import ROOT


def parts(schema: GraphQLSchema) -> Iterator[tuple[str, str | None]]:
    """Yield the name and description of each type, field, argument, value and input of ours."""
    for kind in schema.type_map.values():
        if kind.name.startswith("__") or kind.name in ("Boolean", "Float", "ID", "Int", "String"):
            continue
        yield kind.name, kind.description
        if isinstance(kind, GraphQLEnumType):
            yield from ((f"{kind.name}.{name}", value.description) for name, value in kind.values.items())
        if isinstance(kind, GraphQLInputObjectType):
            yield from ((f"{kind.name}.{name}", field.description) for name, field in kind.fields.items())
        if isinstance(kind, GraphQLObjectType | GraphQLInterfaceType):
            for name, field in kind.fields.items():
                yield f"{kind.name}.{name}", field.description
                for argument, given in field.args.items():
                    yield f"{kind.name}.{name}({argument}:)", given.description


def test_committed_schema_is_the_one_that_is_served() -> None:
    assert (ROOT / "schema.graphql").read_text() == printed(), "write it with `steelyard schema`"


def test_everything_in_the_schema_is_explained() -> None:
    found = dict(parts(build_schema(printed())))
    assert len(found) > 400
    assert [name for name, description in found.items() if not description] == []


def test_explanations_are_sentences() -> None:
    found = dict(parts(build_schema(printed())))
    begins = re.compile(r'[A-Z0-9"]')
    assert [
        name for name, text in found.items() if not begins.match(text or "") or not (text or "").endswith(".")
    ] == []


@pytest.mark.parametrize(
    ("text", "missing"),
    [
        ("type Query { a: Int }", ["Query", "Query.a"]),
        ('"A." type Query { "B." a(b: Int): Int }', ["Query.a(b:)"]),
        ('"A." enum E { "B." X Y }', ["E.Y"]),
        ('"A." input I { "B." x: Int y: Int }', ["I.y"]),
    ],
)
def test_part_that_is_not_explained_is_found(text: str, missing: list[str]) -> None:
    schema = build_schema(text, assume_valid=True)
    assert [name for name, description in parts(schema) if not description] == missing
