"""How large a document may be, and what it costs.

One linear pass measures a document; a fragment is measured once however often it is spread, so nested fragments that
expand exponentially are measured in the time it takes to read them. The shape (depth, aliases, root fields,
directives, fragments) is checked with validation and cached with it; the cost is checked for every operation, with
the page sizes its variables really have, and answered as `extensions.cost`.
"""

import math
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass

from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLCompositeType,
    GraphQLError,
    GraphQLField,
    GraphQLSchema,
    InlineFragmentNode,
    IntValueNode,
    NullValueNode,
    OperationDefinitionNode,
    SelectionSetNode,
    Undefined,
    ValueNode,
    VariableNode,
    get_named_type,
    get_nullable_type,
    is_composite_type,
    is_introspection_type,
    is_list_type,
)
from graphql.utilities import get_operation_ast
from graphql.utilities.coerce_input_value import coerce_default_value
from graphql.validation import NoSchemaIntrospectionCustomRule, ValidationContext, ValidationRule
from graphql.validation.validate import ValidationAbortedError
from strawberry.extensions import MaxTokensLimiter, ParserCache, SchemaExtension, ValidationCache

TOKENS_MAX = 2000
DEPTH_MAX = 12
INTROSPECTION_DEPTH_MAX = 20
"""The standard introspection query is 15 deep: one step for every wrapper a type may have."""
ALIASES_MAX = 15
ROOT_FIELDS_MAX = 15
DIRECTIVES_MAX = 8
FRAGMENTS_MAX = 20
COST_MAX = 10_000
PAGE_MAX = 100
"""The largest page: what an argument counts as whose size cannot be told."""
LIST_FACTOR = 10
"""What a list without a page size counts as."""
NESTING_MAX = 100
"""Selection sets within one another, fragments included. It keeps our recursion far from the interpreter's limit."""
DIGITS_MAX = 9
"""Page sizes with more digits are not read: int() refuses thousands of them."""

PAGE_ARGUMENTS = ("first", "last")
SUGGESTION = re.compile(r" Did you mean [^?]*\?")


@dataclass(frozen=True, slots=True)
class Size:
    """What a selection set comes to when every fragment is written out."""

    depth: int = 0
    introspection_depth: int = 0
    fields: int = 0
    cost: int = 0


class Meter:
    """Measures the operations of one document.

    `variables` are the values of the operation's variables; without them every variable counts as a page of one, so
    that the cost is the least the document can have.
    """

    def __init__(
        self, schema: GraphQLSchema, document: DocumentNode, variables: Mapping[str, object] | None = None
    ) -> None:
        self._schema = schema
        self._variables = variables
        self.fragments = {
            definition.name.value: definition
            for definition in document.definitions
            if isinstance(definition, FragmentDefinitionNode)
        }
        self._sizes: dict[str, Size] = {}
        self.aliases = 0
        self.directives = 0
        self.visits = 0

    def operation(self, operation: OperationDefinitionNode) -> Size:
        """Measure one operation."""
        self.directives += len(operation.directives or ())
        self.directives += sum(len(variable.directives or ()) for variable in operation.variable_definitions or ())
        return self._selections(operation.selection_set, self._schema.get_root_type(operation.operation), 1)

    def fragment(self, name: str, nesting: int = 1) -> Size:
        """Measure one fragment. What is unknown, or spreads itself, is nothing: the standard rules report it."""
        if name in self._sizes:
            return self._sizes[name]
        self._sizes[name] = Size()  # stands while the fragment is being measured, and so ends a cycle
        definition = self.fragments.get(name)
        if definition is not None:
            self.directives += len(definition.directives or ())
            condition = self._composite(definition.type_condition.name.value)
            self._sizes[name] = self._selections(definition.selection_set, condition, nesting)
        return self._sizes[name]

    def _selections(self, selection_set: SelectionSetNode, parent: GraphQLCompositeType | None, nesting: int) -> Size:
        if nesting > NESTING_MAX:
            raise excess("nesting", nesting, NESTING_MAX)
        depth = introspection_depth = fields = cost = 0
        for selection in selection_set.selections:
            self.visits += 1
            self.directives += len(selection.directives or ())
            if isinstance(selection, FieldNode):
                size = self._field(selection, parent, nesting)
            elif isinstance(selection, FragmentSpreadNode):
                size = self.fragment(selection.name.value, nesting + 1)
            else:
                assert isinstance(selection, InlineFragmentNode)
                condition = selection.type_condition
                within = parent if condition is None else self._composite(condition.name.value)
                size = self._selections(selection.selection_set, within, nesting + 1)
            depth = max(depth, size.depth)
            introspection_depth = max(introspection_depth, size.introspection_depth)
            fields += size.fields
            cost += size.cost
        return Size(depth, introspection_depth, fields, cost)

    def _field(self, node: FieldNode, parent: GraphQLCompositeType | None, nesting: int) -> Size:
        self.aliases += node.alias is not None
        definition = None if parent is None else self._schema.get_field(parent, node.name.value)
        children, factor = Size(), 1
        if node.selection_set is not None:
            named = None if definition is None else get_named_type(definition.type)
            within = named if is_composite_type(named) else None
            children = self._selections(node.selection_set, within, nesting + 1)
            factor = 1 if definition is None else self._factor(node, definition, parent)
        cost = 1 + factor * children.cost
        if node.name.value in ("__schema", "__type"):
            return Size(0, 1 + max(children.depth, children.introspection_depth), 1, cost)
        introspection_depth = 1 + children.introspection_depth if children.introspection_depth else 0
        return Size(1 + children.depth, introspection_depth, 1, cost)

    def _factor(self, node: FieldNode, definition: GraphQLField, parent: GraphQLCompositeType | None) -> int:
        """Return how often the children of a field are answered, at most."""
        pages = [name for name in PAGE_ARGUMENTS if name in definition.args]
        if pages:
            return max(self._page(node, definition, name) for name in pages) or PAGE_MAX
        if not is_list_type(get_nullable_type(definition.type)):
            return 1
        if parent is None or is_introspection_type(parent):
            return 1  # as long as the schema, not as the data; how it nests is bounded by a standard rule
        paged_already = parent.name.endswith("Connection") and node.name.value in ("nodes", "edges")
        return 1 if paged_already else LIST_FACTOR

    def _page(self, node: FieldNode, definition: GraphQLField, name: str) -> int:
        """Return the page size an argument asks for; 0 when it is left out and has no default."""
        given = next((argument.value for argument in node.arguments or () if argument.name.value == name), None)
        if isinstance(given, VariableNode) and self._variables is None:
            return 1
        if isinstance(given, VariableNode) and given.name.value in (self._variables or {}):
            return _size_of((self._variables or {})[given.name.value])
        if given is None or isinstance(given, VariableNode):
            return _size_of(coerce_default_value(definition.args[name]))
        return _size_of(_literal(given))

    def _composite(self, name: str) -> GraphQLCompositeType | None:
        named = self._schema.get_type(name)
        return named if is_composite_type(named) else None


class LimitsRule(ValidationRule):
    """Refuses a document whose shape exceeds a limit, or whose cost does so whatever its variables are.

    It speaks before any other rule and ends the validation: the rules of the specification are slower than this one.
    """

    context: ValidationContext

    def enter_document(self, node: DocumentNode, *_: object) -> None:
        check_shape(self.context.schema, node)


class HideSuggestionsRule(ValidationRule):
    """Leaves "Did you mean" out of what the other rules report, so that no name is told to who does not know it."""

    def __init__(self, context: ValidationContext) -> None:
        super().__init__(context)
        context._hide_suggestions = True


RULES = (LimitsRule, HideSuggestionsRule)
RULES_WITHOUT_INTROSPECTION = (*RULES, NoSchemaIntrospectionCustomRule)
"""Rule classes stand at module level and never change, or the validation cache would never find a document again."""


class Documents(ParserCache):
    """Parses, through the cache. What cannot be parsed is left for the schema to find, and to say as every error."""

    def on_parse(self) -> Iterator[None]:
        with suppress(GraphQLError):
            context = self.execution_context
            context.graphql_document = self.cached_parse_document(context.query, **context.parse_options)
        yield


class DocumentLimits(ValidationCache):
    """Validates (through the cache) with the rules above, refuses what costs too much, and answers the cost.

    It takes the place of ValidationCache and AddValidationRules.
    """

    rules: tuple[type[ValidationRule], ...] = RULES

    def __init__(self) -> None:
        super().__init__()
        self.cost: int | None = None

    def on_operation(self) -> Iterator[None]:
        self.execution_context.validation_rules += self.rules
        yield
        hide_suggestions(self.execution_context.result)

    def on_validate(self) -> Iterator[None]:
        context = self.execution_context
        assert context.graphql_document is not None
        schema = context.schema._schema
        errors = self.cached_validate_document(schema, context.graphql_document, context.validation_rules)
        if not errors:
            errors = _choice(context.graphql_document, context._provided_operation_name)
        if not errors:
            self.cost = cost_of(context.graphql_document, schema, context.variables, context.operation_name)
            errors = [excess("cost", self.cost, COST_MAX)] if self.cost > COST_MAX else []
        context.pre_execution_errors = errors
        yield

    def on_stream_result(self, result: object) -> Iterator[None]:
        hide_suggestions(result)
        yield

    def get_results(self) -> dict[str, object]:
        return {} if self.cost is None else {"cost": self.cost}


class DocumentLimitsWithoutIntrospection(DocumentLimits):
    """The same, and introspection is refused."""

    rules = RULES_WITHOUT_INTROSPECTION


def extensions(*, introspection: bool) -> list[Callable[[], SchemaExtension]]:
    """Return the extensions that limit, parse and validate documents, in the order in which a schema takes them."""
    return [
        lambda: MaxTokensLimiter(TOKENS_MAX),
        Documents,
        DocumentLimits if introspection else DocumentLimitsWithoutIntrospection,
    ]


def check_shape(schema: GraphQLSchema, document: DocumentNode) -> None:
    """Raise the first limit that a document exceeds whatever its variables are."""
    fragments = sum(isinstance(definition, FragmentDefinitionNode) for definition in document.definitions)
    _at_most("fragments", fragments, FRAGMENTS_MAX)
    meter = Meter(schema, document)
    operations = [
        meter.operation(definition)
        for definition in document.definitions
        if isinstance(definition, OperationDefinitionNode)
    ]
    for name in meter.fragments:  # those that no operation spreads count too
        meter.fragment(name)
    _at_most("directives", meter.directives, DIRECTIVES_MAX)
    _at_most("aliases", meter.aliases, ALIASES_MAX)
    for size in operations:
        _at_most("root fields", size.fields, ROOT_FIELDS_MAX)
        _at_most("depth", size.depth, DEPTH_MAX)
        _at_most("introspection depth", size.introspection_depth, INTROSPECTION_DEPTH_MAX)
        _at_most("cost", size.cost, COST_MAX)


def cost_of(
    document: DocumentNode,
    schema: GraphQLSchema,
    variables: Mapping[str, object] | None = None,
    operation_name: str | None = None,
) -> int:
    """Return what an operation costs: one for each field, those of a list as often as it may have items."""
    operation = get_operation_ast(document, operation_name)
    if operation is None:
        return 0
    values: dict[str, object] = {}
    for definition in operation.variable_definitions or ():
        name = definition.variable.name.value
        if variables is not None and name in variables:
            values[name] = variables[name]
        elif definition.default_value is not None:
            values[name] = _literal(definition.default_value)
    return Meter(schema, document, values).operation(operation).cost


def _choice(document: DocumentNode, operation_name: str | None) -> list[GraphQLError]:
    """Refuse a document with several operations when nobody says which to run."""
    operations = sum(isinstance(definition, OperationDefinitionNode) for definition in document.definitions)
    if operations == 1 or operation_name:
        return []
    return [GraphQLError(f"the document has {operations} operations; say in operationName which one to run")]


def excess(what: str, found: int, allowed: int) -> GraphQLError:
    """Return the error for a limit that was exceeded, with the numbers."""
    return ValidationAbortedError(
        f"the document exceeds the limit for {what}: {found:,} where {allowed:,} is the most; "
        "ask for less, or in several requests",
        extensions={"code": "COST_LIMIT", "limit": what, "found": found, "allowed": allowed},
    )


def hide_suggestions(result: object) -> None:
    """Take the suggestions out of a result's errors: the values of variables are checked after the rules have run."""
    for error in getattr(result, "errors", None) or ():
        error.message = SUGGESTION.sub("", error.message)


def _at_most(what: str, found: int, allowed: int) -> None:
    if found > allowed:
        raise excess(what, found, allowed)


def _literal(node: ValueNode) -> object:
    """Return the value of a page size as far as it matters here."""
    if isinstance(node, IntValueNode):
        return int(node.value) if len(node.value) <= DIGITS_MAX else 10**DIGITS_MAX
    return None if isinstance(node, NullValueNode) else PAGE_MAX


def _size_of(value: object) -> int:
    """Return a page size as a factor: 0 for none, and the largest page for what cannot be one."""
    if value is None or value is Undefined:
        return 0
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return PAGE_MAX
    return max(int(value), 1)
