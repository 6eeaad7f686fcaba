"""What REST answers: schema types as plain JSON, and failures as problem+json."""

from dataclasses import is_dataclass
from datetime import date, datetime
from decimal import Decimal
from enum import Enum
from functools import cache
from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import Response
from strawberry.types import get_object_definition

from app.api import edge
from app.api.errors import HTTP_STATUS
from app.api.scalars import Duration
from app.api.types_drift import Drift
from app.core import scalars
from app.core.errors import SteelyardError, TargetsSum
from app.core.money import plain


def respond(value: object, status: int = 200) -> Response:
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


def problem(request: Request, error: SteelyardError) -> Response:
    """Answer an expected failure as problem+json, with code, path and the numbers of its kind."""
    extra: dict[str, Any] = {"path": list(error.path)}
    if isinstance(error, TargetsSum):
        extra |= {"sum": plain(error.total), "missing": plain(error.missing)}
    return refuse(request, HTTP_STATUS.get(error.code, 422), error.code, error.message, extra)


def refuse(request: Request, status: int, code: str, detail: str, extra: dict[str, Any]) -> Response:
    body = orjson.loads(edge.problem(status, code, detail, request.state.request_id)) | extra
    headers = {"WWW-Authenticate": "Bearer"} if status == 401 else {}
    return Response(orjson.dumps(body), status_code=status, headers=headers, media_type="application/problem+json")
