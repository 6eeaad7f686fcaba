"""How operations are executed: as the libraries do it, but what one event of a stream needed goes with the event."""

from typing import Any

from graphql import Executor
from strawberry.schema.schema import StrawberryGraphQLCoreExecutionContext


class EventExecutor(StrawberryGraphQLCoreExecutionContext):
    """Executes an operation, and each event of a subscription by itself."""

    def build_per_event_executor(self, payload: Any) -> Executor[Any]:
        """Return a copy for one event that remembers the fields of that event alone.

        The library's copies share one memory, in which every event leaves some kilobytes as long as its stream lives.
        """
        executor = super().build_per_event_executor(payload)
        executor._relevant_sub_fields = {}
        return executor
