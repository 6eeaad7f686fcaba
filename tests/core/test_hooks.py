"""What a hook takes, and when a message is tried again."""

import pytest

from app.core.alerts import AlertSeverity
from app.core.errors import Duplicate, InvalidInput, Required
from app.core.hooks import HookEvent, parse_events, retry_after_ms, takes, type_of

RAISED, RESOLVED, DIGEST, PLAN = (
    HookEvent.ALERT_RAISED,
    HookEvent.ALERT_RESOLVED,
    HookEvent.ALERT_DIGEST,
    HookEvent.PLAN_READY,
)


@pytest.mark.parametrize(
    ("tries", "most_s"), [(1, 5), (2, 10), (3, 20), (4, 40), (9, 1280), (10, 2560), (11, 3600), (12, 3600), (900, 3600)]
)
def test_tries_come_later_and_later_up_to_an_hour(tries: int, most_s: int) -> None:
    assert retry_after_ms(tries, 0) == most_s * 1000
    assert retry_after_ms(tries, 500) == most_s * 900
    assert most_s * 800 <= retry_after_ms(tries, 999) <= most_s * 801


def test_three_days_are_about_eighty_tries() -> None:
    passed, tries = 0, 0
    while passed < 3 * 86_400_000:
        tries += 1
        passed += retry_after_ms(tries, 0)
    assert tries == 81


@pytest.mark.parametrize(
    ("given", "taken"),
    [
        ([PLAN], (PLAN,)),
        ([RESOLVED, RAISED], (RAISED, RESOLVED, DIGEST)),
        ([PLAN, DIGEST, RAISED], (RAISED, DIGEST, PLAN)),
    ],
)
def test_alerts_bring_their_digest(given: list[HookEvent], taken: tuple[HookEvent, ...]) -> None:
    assert parse_events(given) == taken


@pytest.mark.parametrize(("given", "error"), [([], Required), ([PLAN, PLAN], Duplicate), ([DIGEST], InvalidInput)])
def test_events_that_make_no_sense_are_refused(given: list[HookEvent], error: type[Exception]) -> None:
    with pytest.raises(error):
        parse_events(given)


@pytest.mark.parametrize(
    ("event", "severity", "taken"),
    [
        (RAISED, AlertSeverity.CRITICAL, True),
        (RAISED, AlertSeverity.WARNING, True),
        (RAISED, AlertSeverity.INFO, False),
        (RESOLVED, AlertSeverity.CRITICAL, False),
        (PLAN, None, True),
    ],
)
def test_hook_takes_its_events_and_of_alerts_the_urgent_ones(
    event: HookEvent, severity: AlertSeverity | None, taken: bool
) -> None:
    assert takes({RAISED, PLAN}, AlertSeverity.WARNING, event, severity) is taken


def test_events_have_names_in_bodies() -> None:
    assert [type_of(event) for event in (RAISED, DIGEST, PLAN, HookEvent.TARGETS_CHANGED)] == [
        "alert.raised",
        "alert.digest",
        "plan.ready",
        "targets.changed",
    ]
