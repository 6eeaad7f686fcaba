"""The schema, made once in a process, and its errors made public."""

from typing import Any

import strawberry
from graphql import GraphQLError
from strawberry.schema.config import StrawberryConfig
from strawberry.types import ExecutionResult
from strawberry.types.graphql import OperationType

from app.api import errors, limits
from app.api.execution import EventExecutor
from app.api.graphql import PublicErrors, log_errors
from app.api.mutations import Mutation
from app.api.queries import Query
from app.api.scalars import SCALARS
from app.api.subscriptions import Subscription
from app.api.types_execution import STRATEGIES


class Schema(strawberry.Schema):
    """Answers once or in a stream. Logs what is ours; Strawberry would log whole documents."""

    async def execute(self, query: str | None, **given: Any) -> ExecutionResult:  # type: ignore[override]
        """Answer once. A subscription is answered by a stream only."""
        allowed = given.get("allowed_operation_types") or OperationType
        given["allowed_operation_types"] = [kind for kind in allowed if kind is not OperationType.SUBSCRIPTION]
        return await super().execute(query, **given)

    def process_errors(self, errors: list[GraphQLError], execution_context: Any = None) -> None:
        log_errors(errors)


def make_schema(*, introspection: bool = True) -> Schema:
    """Build the schema with its limits."""
    return Schema(
        query=Query,
        mutation=Mutation,
        subscription=Subscription,
        types=[*errors.USER_ERROR_TYPES, *STRATEGIES],
        config=StrawberryConfig(scalar_map=SCALARS, disable_field_suggestions=True),
        execution_context_class=EventExecutor,
        extensions=[PublicErrors, *limits.extensions(introspection=introspection)],
    )


def printed() -> str:
    """Return the schema as `schema.graphql` holds it."""
    return make_schema().as_str().strip() + "\n"
