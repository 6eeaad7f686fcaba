"""The routes of plans: proposed, looked at, decided about, and their fills."""

from starlette.requests import Request
from starlette.responses import Response

from app.actions import approving, plans, recording
from app.api import rest_answers, rest_requests
from app.api.inputs import MAX_ARRAY, NAME_MAX, NOTE_MAX
from app.api.types_plan import plan_of
from app.context import Context
from app.core import scalars
from app.core.errors import InvalidInput, LimitExceeded, NotFound, Required, VersionConflict
from app.core.fields import Fields, read_bool
from app.core.money import ZERO
from app.core.optimize.allocate import PlanScope
from app.core.plan import PlanRequest, PlanStatus


async def post_propose(request: Request, context: Context) -> Response:
    """Propose a plan: {"scope", "cashFlow", "exclude", "noBuy", "noSell", "sellLots", "dryRun"}.

    201 when it is made, 202 when a worker makes it.
    """
    body = await rest_requests.fields(request)
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
        wait_s=rest_requests.prefer_wait(request),
        key=request.headers.get("idempotency-key"),
    )
    if dry_run:
        return rest_answers.respond(plan_of(plan))
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
    body = await rest_requests.fields(request)
    exclude = _names(body, "excludeTradeIds")
    body.end()
    plan, expected = await _plan(request, context), rest_requests.if_match(request)
    if expected is None:
        detail = f'approving needs If-Match with the version that was looked at, such as "v{plan.version}" of the ETag'
        return rest_answers.refuse(request, 428, "REQUIRED", detail, {"path": ["If-Match"]})
    key = request.headers.get("idempotency-key")
    if key is None:
        raise Required("approving needs a key, any text that is unique to this request", ["Idempotency-Key"])
    try:
        return _stored(await approving.approve(context, plan.id, expected=expected, exclude=exclude, key=key))
    except VersionConflict as error:
        return rest_answers.refuse(request, 412, error.code, error.message, {})


async def post_reject(request: Request, context: Context) -> Response:
    """Reject a plan: {"reason"}. With If-Match only at that version, 412 at another."""
    reason, expected = await _reason(request), rest_requests.if_match(request)
    plan = await _plan(request, context)
    try:
        return _stored(await approving.reject(context, plan.id, reason, expected))
    except VersionConflict as error:
        return rest_answers.refuse(request, 412, error.code, error.message, {})


async def post_cancel(request: Request, context: Context) -> Response:
    """Cancel a plan that waits, is being made, approved or executed: {"reason"}. 202 while its orders are cancelled."""
    reason = await _reason(request)
    plan = await _plan(request, context)
    cancelled = await approving.cancel(context, plan.id, reason)
    return _stored(cancelled, 202 if cancelled.status is PlanStatus.EXECUTING else 200)


async def _reason(request: Request) -> str:
    body = await rest_requests.fields(request)
    reason = body.maybe("reason", lambda value: scalars.text(value, "reason", longest=NOTE_MAX))
    body.end()
    return reason or ""


def _stored(plan: plans.StoredPlan, status: int = 200) -> Response:
    response = rest_answers.respond(plan_of(plan), status)
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
    return rest_answers.respond(plan_of(await recording.record(context, plan.id, recording.parse_csv(text), key)))


async def _plan(request: Request, context: Context) -> plans.StoredPlan:
    plan = await plans.find(context, request.path_params["plan"])
    if plan.portfolio_id != request.path_params["id"]:
        raise NotFound("plan", plan.id)
    return plan
