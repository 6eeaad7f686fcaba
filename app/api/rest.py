"""The classic routes under /api/rebalancing/{id}: the same actions, types and scalars as GraphQL, as plain JSON.

Those of targets and drift are here, those of plans in `rest_plans`.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Final

import orjson
import structlog
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from app.actions import alerts, drift, drift_csv, portfolios, targets
from app.actions.access import Unavailable
from app.actions.live import Hub
from app.api import edge, rest_answers, rest_plans, rest_requests
from app.api.auth import Verifier
from app.api.graphql import ENDED_MESSAGE, Caller
from app.api.paging import PAGE_MAX
from app.api.types_alert import DriftAlertEvent, alert_of
from app.api.types_drift import Drift
from app.api.types_history import DriftLogConnection
from app.api.types_portfolio import Targets
from app.context import Context, Services
from app.core import scalars
from app.core.alerts import AlertSeverity
from app.core.document import read_target
from app.core.errors import InvalidInput, NotFound, SteelyardError, Unauthenticated, VersionConflict
from app.core.fields import Fields
from app.core.health import Resolution
from app.core.targets import MAX_ENTRIES

EVENT_STREAM: Final = "text/event-stream"
END: Final = f"event: end\ndata: {orjson.dumps({'code': Unauthenticated.code, 'detail': ENDED_MESSAGE}).decode()}\n\n"

log = structlog.get_logger(__name__)

Handler = Callable[[Request, Context], Awaitable[Response]]


def routes(services: Services, verifier: Verifier, hub: Hub) -> list[Route]:
    """Return the REST routes."""

    def route(path: str, handler: Handler, method: str) -> Route:
        async def endpoint(request: Request) -> Response:
            caller = request.state.caller = Caller(services, verifier, hub)
            try:
                await caller.authenticate(request.headers.get("authorization"))
                return await handler(request, await caller.context())
            except SteelyardError as error:
                return rest_answers.problem(request, error)
            except Unavailable:
                return rest_answers.refuse(
                    request, 503, "UNAVAILABLE", "the service is not available at present; try again", {}
                )
            except Exception:
                log.exception("request_failed")
                return rest_answers.refuse(
                    request, 500, "INTERNAL", "internal error; the request id is in the logs", {}
                )

        return Route(path, endpoint, methods=[method])

    base = "/api/rebalancing/{id}"
    return [
        route(f"{base}/targets", get_targets, "GET"),
        route(f"{base}/targets", post_targets, "POST"),
        route(f"{base}/drift", get_drift, "GET"),
        route(f"{base}/drift/history", get_drift_history, "GET"),
        route(f"{base}/drift/stream", get_drift_stream, "GET"),
        route(f"{base}/propose", rest_plans.post_propose, "POST"),
        route(f"{base}/plans/{{plan}}", rest_plans.get_plan, "GET"),
        route(f"{base}/plans/{{plan}}/approve", rest_plans.post_approve, "POST"),
        route(f"{base}/plans/{{plan}}/reject", rest_plans.post_reject, "POST"),
        route(f"{base}/plans/{{plan}}/cancel", rest_plans.post_cancel, "POST"),
        route(f"{base}/plans/{{plan}}/fills.csv", rest_plans.post_fills, "POST"),
    ]


async def get_targets(request: Request, context: Context) -> Response:
    """Answer the targets in force; 404 with code NOT_FOUND while there are none."""
    loaded = await portfolios.find(context, request.path_params["id"])
    if loaded.snapshot.targets is None:
        raise NotFound("targets of", request.path_params["id"])
    return _targets(Targets.of(loaded), 200)


async def post_targets(request: Request, context: Context) -> Response:
    """Set the targets: {"entries": [...], "note"}. If-Match carries the version that was read; dry_run checks only."""
    body = Fields(edge.strict_json(await request.body()))
    drafts = body.each("entries", read_target) or ()
    note = body.maybe("note", lambda value: scalars.text(value, "note", longest=1000))
    body.end()
    dry_run = rest_requests.flag(request, "dry_run")
    expected = rest_requests.if_match(request)
    try:
        loaded = await targets.set_targets(
            context, request.path_params["id"], drafts[: MAX_ENTRIES + 1], expected=expected, note=note, dry_run=dry_run
        )
    except VersionConflict as error:
        if expected is None:
            raise
        return rest_answers.refuse(request, 412, error.code, error.message, {})
    return _targets(Targets.of(loaded), 200 if dry_run else 201)


async def get_drift(request: Request, context: Context) -> Response:
    """Answer the live drift, with the tracking error and what deposits would do."""
    return rest_answers.respond(Drift.of(await drift.measure(context, request.path_params["id"], tracking=True)))


async def get_drift_history(request: Request, context: Context) -> Response:
    """Answer the drift history: a page as JSON, or as CSV with `Accept: text/csv` or `format=csv`.

    CSV has no pages: it is the newest `first` stretches; `until` the last of them is where the next file goes on.
    With `detail=true` it has a line for each sleeve.
    """
    query = request.query_params
    as_csv = rest_requests.wants_csv(request)
    detail = rest_requests.flag(request, "detail")
    named = rest_requests.query(request, "resolution", lambda value, what: scalars.member(Resolution, value, what))
    wanted = named or Resolution.HOUR
    most = drift_csv.MOST if as_csv else PAGE_MAX
    first = rest_requests.count(query.get("first", str(most if as_csv else 20)), "first", most)
    since, until = (rest_requests.query(request, name, scalars.instant) for name in ("since", "until"))
    after = query.get("after")
    loaded = await portfolios.find(context, request.path_params["id"])
    if not as_csv:
        page = await drift.history(context, loaded, first, after, wanted, since, until, full=True)
        return rest_answers.respond(DriftLogConnection.of(page))
    pages = drift_csv.pages(context, loaded, first, after, wanted, since, until, detail=detail)
    begun = await anext(pages)  # what is wrong is said before the answer begins

    async def body() -> AsyncIterator[str]:
        yield begun
        async for page in pages:
            yield page

    name = f'attachment; filename="drift-history-{loaded.row.public_id}.csv"'
    return StreamingResponse(body(), media_type="text/csv", headers={"content-disposition": name})


async def get_drift_stream(request: Request, context: Context) -> Response:
    """Follow the alerts of a portfolio, and those about all of the caller's, as server-sent events.

    The id of an event is its cursor; Last-Event-ID goes on after one. It begins with one of its own, `begin`.
    """
    loaded = await portfolios.find(context, request.path_params["id"])
    after = request.headers.get("last-event-id") or None
    try:
        start = await alerts.begin(context, after)
    except InvalidInput as error:
        raise InvalidInput(error.message, ["Last-Event-ID"]) from None
    if request.method == "HEAD":
        return Response(media_type=EVENT_STREAM)
    caller: Caller = request.state.caller

    async def body() -> AsyncIterator[str]:
        yield _event("begin", start, {"cursor": start})
        async for event in alerts.stream(context, caller.hub, start, [loaded.row.public_id], AlertSeverity.INFO):
            shown = DriftAlertEvent(cursor=event.cursor, kind=event.kind, alert=alert_of(event.alert))
            yield _event("alert", event.cursor, rest_answers.as_json(shown))

    headers = {"cache-control": "no-cache, no-transform", "x-accel-buffering": "no"}
    stream = caller.carry(body(), END, pulse=": still here\n\n")
    return StreamingResponse(stream, media_type=EVENT_STREAM, headers=headers)


def _event(kind: str, cursor: str, data: object) -> str:
    return f"id: {cursor}\nevent: {kind}\ndata: {orjson.dumps(data).decode()}\n\n"


def _targets(answer: Targets, status: int) -> Response:
    response = rest_answers.respond(answer, status)
    if answer.version:
        response.headers["ETag"] = f'"v{answer.version}"'
    return response
