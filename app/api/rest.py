"""The classic routes under /api/rebalancing/{id}: the same actions, types and scalars as GraphQL, as plain JSON."""

import re
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import is_dataclass
from datetime import date, datetime
from decimal import Decimal
from enum import Enum
from functools import cache
from typing import Any, Final, TypeVar

import orjson
import structlog
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route
from strawberry.types import get_object_definition

from app.actions import alerts, approving, drift, drift_csv, plans, portfolios, recording, targets
from app.actions.access import Unavailable
from app.actions.live import Hub
from app.api import edge
from app.api.auth import Verifier
from app.api.errors import HTTP_STATUS
from app.api.graphql import ENDED_MESSAGE, Caller
from app.api.inputs import MAX_ARRAY, NAME_MAX, NOTE_MAX
from app.api.paging import PAGE_MAX
from app.api.scalars import Duration
from app.api.types_alert import DriftAlertEvent, alert_of
from app.api.types_drift import Drift
from app.api.types_history import DriftLogConnection
from app.api.types_plan import plan_of
from app.api.types_portfolio import Targets
from app.context import Context, Services
from app.core import scalars
from app.core.alerts import AlertSeverity
from app.core.document import read_target
from app.core.errors import (
    InvalidInput,
    LimitExceeded,
    NotFound,
    Required,
    SteelyardError,
    TargetsSum,
    Unauthenticated,
    VersionConflict,
)
from app.core.fields import Fields, read_bool
from app.core.health import Resolution
from app.core.money import ZERO, plain
from app.core.optimize.allocate import PlanScope
from app.core.plan import PlanRequest, PlanStatus
from app.core.targets import MAX_ENTRIES

_ETAG: Final = re.compile(r'"v([0-9]{1,9})"')
_COUNT: Final = re.compile(r"[0-9]{1,6}")
_WAIT: Final = re.compile(r"(?:^|[,;\s])wait=([0-9]{1,3})(?:$|[,;\s])")
DEFAULT_WAIT_S: Final = 5
EVENT_STREAM: Final = "text/event-stream"
END: Final = f"event: end\ndata: {orjson.dumps({'code': Unauthenticated.code, 'detail': ENDED_MESSAGE}).decode()}\n\n"

log = structlog.get_logger(__name__)

T = TypeVar("T")
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
                return problem(request, error)
            except Unavailable:
                return _problem(request, 503, "UNAVAILABLE", "the service is not available at present; try again", {})
            except Exception:
                log.exception("request_failed")
                return _problem(request, 500, "INTERNAL", "internal error; the request id is in the logs", {})

        return Route(path, endpoint, methods=[method])

    base = "/api/rebalancing/{id}"
    return [
        route(f"{base}/targets", get_targets, "GET"),
        route(f"{base}/targets", post_targets, "POST"),
        route(f"{base}/drift", get_drift, "GET"),
        route(f"{base}/drift/history", get_drift_history, "GET"),
        route(f"{base}/drift/stream", get_drift_stream, "GET"),
        route(f"{base}/propose", post_propose, "POST"),
        route(f"{base}/plans/{{plan}}", get_plan, "GET"),
        route(f"{base}/plans/{{plan}}/approve", post_approve, "POST"),
        route(f"{base}/plans/{{plan}}/reject", post_reject, "POST"),
        route(f"{base}/plans/{{plan}}/cancel", post_cancel, "POST"),
        route(f"{base}/plans/{{plan}}/fills.csv", post_fills, "POST"),
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
    dry_run = _flag(request, "dry_run")
    expected = _if_match(request)
    try:
        loaded = await targets.set_targets(
            context, request.path_params["id"], drafts[: MAX_ENTRIES + 1], expected=expected, note=note, dry_run=dry_run
        )
    except VersionConflict as error:
        if expected is None:
            raise
        return _problem(request, 412, error.code, error.message, {})
    return _targets(Targets.of(loaded), 200 if dry_run else 201)


async def get_drift(request: Request, context: Context) -> Response:
    """Answer the live drift, with the tracking error and what deposits would do."""
    return _json(Drift.of(await drift.measure(context, request.path_params["id"], tracking=True)))


async def get_drift_history(request: Request, context: Context) -> Response:
    """Answer the drift history: a page as JSON, or as CSV with `Accept: text/csv` or `format=csv`.

    CSV has no pages: it is the newest `first` stretches; `until` the last of them is where the next file goes on.
    With `detail=true` it has a line for each sleeve.
    """
    query = request.query_params
    as_csv = _wants_csv(request)
    detail = _flag(request, "detail")
    named = _query(request, "resolution", lambda value, what: scalars.member(Resolution, value, what))
    wanted = named or Resolution.HOUR
    most = drift_csv.MOST if as_csv else PAGE_MAX
    first = _count(query.get("first", str(most if as_csv else 20)), "first", most)
    since, until = (_query(request, name, scalars.instant) for name in ("since", "until"))
    after = query.get("after")
    loaded = await portfolios.find(context, request.path_params["id"])
    if not as_csv:
        page = await drift.history(context, loaded, first, after, wanted, since, until, full=True)
        return _json(DriftLogConnection.of(page))
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
            yield _event("alert", event.cursor, as_json(shown))

    headers = {"cache-control": "no-cache, no-transform", "x-accel-buffering": "no"}
    stream = caller.carry(body(), END, pulse=": still here\n\n")
    return StreamingResponse(stream, media_type=EVENT_STREAM, headers=headers)


def _event(kind: str, cursor: str, data: object) -> str:
    return f"id: {cursor}\nevent: {kind}\ndata: {orjson.dumps(data).decode()}\n\n"


async def post_propose(request: Request, context: Context) -> Response:
    """Propose a plan: {"scope", "cashFlow", "exclude", "noBuy", "noSell", "sellLots", "dryRun"}.

    201 when it is made, 202 when a worker makes it.
    """
    body = await _fields(request)
    wanted = PlanRequest(
        body.take("scope", lambda value: scalars.member(PlanScope, value, "scope"), PlanScope.BREACHED_ONLY),
        body.take("cashFlow", lambda value: scalars.money(value, "cashFlow", signed=True), ZERO),
        *(_names(body, name) for name in ("exclude", "noBuy", "noSell", "sellLots")),
    )
    dry_run = body.take("dryRun", read_bool, False)
    body.end()
    portfolio_id = request.path_params["id"]
    plan = await plans.propose(
        context,
        portfolio_id,
        wanted,
        dry_run=dry_run,
        wait_s=_prefer_wait(request),
        key=request.headers.get("idempotency-key"),
    )
    if dry_run:
        return _json(plan_of(plan))
    pending = plan.status in (PlanStatus.QUEUED, PlanStatus.COMPUTING)
    response = _stored(plan, 202 if pending else 201)
    response.headers["Location"] = f"/api/rebalancing/{portfolio_id}/plans/{plan.id}"
    return response


def _names(body: Fields, name: str) -> tuple[str, ...]:
    found = body.each(name, lambda value: scalars.text(value, name, longest=NAME_MAX)) or ()
    if len(found) > MAX_ARRAY:
        raise LimitExceeded(f"there are {len(found)} items; at most {MAX_ARRAY} are allowed", [name])
    return found


async def get_plan(request: Request, context: Context) -> Response:
    """Answer a plan, where POST propose says it is; its ETag is what approving it takes."""
    return _stored(await _plan(request, context))


async def post_approve(request: Request, context: Context) -> Response:
    """Approve a plan: {"excludeTradeIds": [...]}. If-Match carries the version that was looked at, and is required.

    So is Idempotency-Key: a repeat is answered as the first time. 412 when the plan is at another version.
    """
    body = await _fields(request)
    exclude = _names(body, "excludeTradeIds")
    body.end()
    plan, expected = await _plan(request, context), _if_match(request)
    if expected is None:
        detail = f'approving needs If-Match with the version that was looked at, such as "v{plan.version}" of the ETag'
        return _problem(request, 428, "REQUIRED", detail, {"path": ["If-Match"]})
    key = request.headers.get("idempotency-key")
    if key is None:
        raise Required("approving needs a key, any text that is unique to this request", ["Idempotency-Key"])
    try:
        return _stored(await approving.approve(context, plan.id, expected=expected, exclude=exclude, key=key))
    except VersionConflict as error:
        return _problem(request, 412, error.code, error.message, {})


async def post_reject(request: Request, context: Context) -> Response:
    """Reject a plan: {"reason"}. With If-Match only at that version, 412 at another."""
    reason, expected = await _reason(request), _if_match(request)
    plan = await _plan(request, context)
    try:
        return _stored(await approving.reject(context, plan.id, reason, expected))
    except VersionConflict as error:
        return _problem(request, 412, error.code, error.message, {})


async def post_cancel(request: Request, context: Context) -> Response:
    """Cancel a plan that waits, is being made, approved or executed: {"reason"}. 202 while its orders are cancelled."""
    reason = await _reason(request)
    plan = await _plan(request, context)
    cancelled = await approving.cancel(context, plan.id, reason)
    return _stored(cancelled, 202 if cancelled.status is PlanStatus.EXECUTING else 200)


async def _reason(request: Request) -> str:
    body = await _fields(request)
    reason = body.maybe("reason", lambda value: scalars.text(value, "reason", longest=NOTE_MAX))
    body.end()
    return reason or ""


async def _fields(request: Request) -> Fields:
    """Return the fields of a body that may be left out."""
    raw = await request.body()
    return Fields(edge.strict_json(raw) if raw else {})


def _stored(plan: plans.StoredPlan, status: int = 200) -> Response:
    response = _json(plan_of(plan), status)
    response.headers["ETag"] = f'"v{plan.version}"'
    return response


async def post_fills(request: Request, context: Context) -> Response:
    """Record fills of orders worked by hand, as CSV: order,fill_id,quantity,price[,fee][,filled_at][,done].

    Needs an Idempotency-Key: facts cannot be taken back.
    """
    key = request.headers.get("idempotency-key")
    if key is None:
        raise Required("Idempotency-Key is missing; send any text unique to this request", ["Idempotency-Key"])
    try:
        text = (await request.body()).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InvalidInput(f"the body is not UTF-8 text: byte {error.start} is wrong") from None
    plan = await _plan(request, context)
    return _json(plan_of(await recording.record(context, plan.id, recording.parse_csv(text), key)))


async def _plan(request: Request, context: Context) -> plans.StoredPlan:
    plan = await plans.find(context, request.path_params["plan"])
    if plan.portfolio_id != request.path_params["id"]:
        raise NotFound("plan", plan.id)
    return plan


def _targets(answer: Targets, status: int) -> Response:
    response = _json(answer, status)
    if answer.version:
        response.headers["ETag"] = f'"v{answer.version}"'
    return response


def _json(value: object, status: int = 200) -> Response:
    return Response(orjson.dumps(as_json(value)), status_code=status, media_type="application/json")


def as_json(value: object) -> Any:
    """Write a schema type as JSON with the scalars of GraphQL: camelCase names, numbers as plain strings."""
    if isinstance(value, Decimal):
        return plain(value)
    if isinstance(value, datetime):
        return scalars.write_instant(value)
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, Duration):
        return scalars.write_duration(value)
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, list):
        return [as_json(item) for item in value]
    if is_dataclass(value):
        kind: Any = type(value)
        shown = {_camel(name): as_json(getattr(value, name)) for name in _shown(kind)}
        return shown | _figures(value) if isinstance(value, Drift) else shown
    return value


def _figures(answer: Drift) -> dict[str, Any]:
    """Return the figures that GraphQL works out only when they are asked for."""
    return {
        "trackingError": as_json(answer.report.tracking_error),
        "depositToBand": as_json(answer.deposit_to_band()),
        "depositToTarget": as_json(answer.deposit_to_target()),
    }


@cache
def _shown(kind: Any) -> tuple[str, ...]:
    """Return the fields of a schema type that are plain values; private ones and resolvers are not."""
    found = get_object_definition(kind, strict=True).fields
    return tuple(field.python_name for field in found if field.base_resolver is None)


def _camel(name: str) -> str:
    head, *tail = name.split("_")
    return head + "".join(part.title() for part in tail)


def _if_match(request: Request) -> int | None:
    header = request.headers.get("if-match")
    if header is None or header == "*":
        return None
    found = _ETAG.fullmatch(header.strip())
    if not found:
        raise InvalidInput(f'If-Match must be an ETag such as "v3", not {header[:40]}', ["If-Match"])
    return int(found[1])


def _flag(request: Request, name: str) -> bool:
    value = request.query_params.get(name, "false")
    if value not in ("true", "false"):
        raise InvalidInput(f"{name} must be true or false, not {value[:20]!r}", [name])
    return value == "true"


def _query(request: Request, name: str, read: Callable[[str, str], T]) -> T | None:
    """Read a parameter of the query, None where it is left out; an error names it."""
    try:
        return read(request.query_params[name], name) if name in request.query_params else None
    except InvalidInput as error:
        raise error.under(name) from None


def _count(text: str, name: str, most: int) -> int:
    if not _COUNT.fullmatch(text) or not 1 <= int(text) <= most:
        raise InvalidInput(f"{name} must be a number from 1 to {most}, not {text[:20]!r}", [name])
    return int(text)


def _wants_csv(request: Request) -> bool:
    wanted = request.query_params.get("format")
    if wanted not in (None, "csv", "json"):
        raise InvalidInput(f"format must be csv or json, not {wanted[:20]!r}", ["format"])
    return wanted == "csv" if wanted else "text/csv" in request.headers.get("accept", "")


def _prefer_wait(request: Request) -> int:
    prefer = request.headers.get("prefer", "")
    if "respond-async" in prefer:
        return 0
    found = _WAIT.search(prefer)
    return int(found[1]) if found else DEFAULT_WAIT_S


def problem(request: Request, error: SteelyardError) -> Response:
    """Answer an expected failure as problem+json, with code, path and the numbers of its kind."""
    extra: dict[str, Any] = {"path": list(error.path)}
    if isinstance(error, TargetsSum):
        extra |= {"sum": plain(error.total), "missing": plain(error.missing)}
    return _problem(request, HTTP_STATUS.get(error.code, 422), error.code, error.message, extra)


def _problem(request: Request, status: int, code: str, detail: str, extra: dict[str, Any]) -> Response:
    body = orjson.loads(edge.problem(status, code, detail, request.state.request_id)) | extra
    headers = {"WWW-Authenticate": "Bearer"} if status == 401 else {}
    return Response(orjson.dumps(body), status_code=status, headers=headers, media_type="application/problem+json")
