"""Alerts: once when it opens, once at each worse level, once when it is over."""

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.core.alerts import DATA_KEY, AlertEventKind, AlertKind, AlertSeverity, SleeveState, Transition, decide
from app.core.drift import Report, measure
from app.core.policy import Policy
from tests.builders import AS_OF, absolute, snapshot
from tests.core.samples import PROPERTY, decimals

HOUR = timedelta(hours=1)
FIVE = Policy(default_band=absolute("5"))
TICK = None


def report_at(drift: Decimal | str, *, policy: Policy = FIVE) -> Report:
    """Measure sleeve A at 50 plus `drift` percent of a portfolio whose other half is spread thinly around 10 %."""
    over = Decimal(drift)
    rest = ", ".join(f"{(50 - over) / 5:f} B{number} @ 1" for number in range(5))
    thin = {f"B{number}": "10" for number in range(5)}
    return measure(snapshot(f"{50 + over:f} A @ 1, {rest}", {"A": "50", **thin}, policy=policy))


class Watch:
    """Feeds measurements to `decide` and keeps the states, as the scan and the price ticks do."""

    def __init__(self, policy: Policy = FIVE) -> None:
        self.policy = policy
        self.states: dict[str, SleeveState] = {}
        self.bucket = AS_OF

    def see(self, report: Report, bucket: datetime | None) -> tuple[Transition, ...]:
        decision = decide(self.states, report, self.policy, bucket)
        assert not set(decision.gone) & set(decision.changed)
        self.states |= decision.changed
        for key in decision.gone:
            del self.states[key]
        return decision.transitions

    def hours(self, drifts: Iterable[Decimal | str]) -> list[str]:
        """Measure once an hour; write what was told of sleeve A as `2 RAISED`, the first hour being 0."""
        told = []
        for hour, drift in enumerate(drifts):
            self.bucket += HOUR
            told += [f"{hour} {event}" for event in self.at(drift, self.bucket)]
        return told

    def tick(self, drift: str) -> list[str]:
        return self.at(drift, TICK)

    def at(self, drift: Decimal | str, bucket: datetime | None) -> list[str]:
        transitions = self.see(report_at(drift, policy=self.policy), bucket)
        return [transition.event.value for transition in transitions if transition.key == "A"]


def test_a1_flipping_around_the_band_opens_one_alert() -> None:
    """The series of netdata, proxcenter and hyperdx around 5.00: one breach; cleared only at 4.5; told once each."""
    assert Watch().hours(["4.9", "5.1", "4.9", "5.1"]) == ["1 RAISED"]
    assert Watch().hours(["5.1", "4.51", "5.1", "4.5", "4.4", "4.9", "5.1"]) == ["0 RAISED", "3 RESOLVED", "6 RAISED"]
    cautious = Watch(replace(FIVE, recover_after=3))
    assert cautious.hours(["5.1", "4.5", "4.4", "4.6", "4.5", "4.4", "4.3"]) == ["0 RAISED", "6 RESOLVED"]


@pytest.mark.parametrize(
    ("drifts", "told"),
    [
        (["5"], []),  # exactly on the edge is within
        (["5.000001"], ["0 RAISED"]),
        (["-5.000001"], ["0 RAISED"]),
        (["5.1", "10"], ["0 RAISED"]),
        (["5.1", "10.000001"], ["0 RAISED", "1 ESCALATED"]),
        (["5.1", "11", "9", "11", "8", "12"], ["0 RAISED", "1 ESCALATED"]),  # escalates once
        (["11"], ["0 RAISED"]),
        (["11", "12", "0", "11"], ["0 RAISED", "2 RESOLVED", "3 RAISED"]),
        (["6", "-6"], ["0 RAISED"]),  # crossing to the other side is still outside
        (["4.5", "4.9", "5"], []),
    ],
)
def test_what_is_told_of_a_series(drifts: list[str], told: list[str]) -> None:
    assert Watch().hours(drifts) == told


@pytest.mark.parametrize(
    ("drifts", "told"),
    [
        (["3.9"], []),
        (["4"], ["0 RAISED"]),  # the warning edge itself warns, as the status does
        (["4", "3.61", "4", "3.6"], ["0 RAISED", "3 RESOLVED"]),
        (["4", "5", "5.1", "4.1", "5.1", "10.1"], ["0 RAISED", "2 ESCALATED", "5 ESCALATED"]),
        (["6", "4.4", "3.7", "3.5"], ["0 RAISED", "3 RESOLVED"]),
    ],
)
def test_a_policy_that_wants_warnings_opens_earlier(drifts: list[str], told: list[str]) -> None:
    assert Watch(replace(FIVE, alert_on_warning=True)).hours(drifts) == told


@pytest.mark.parametrize(
    ("drifts", "told"),
    [
        (["6", "6"], []),
        (["6", "6", "6"], ["2 RAISED"]),
        (["6", "6", "4.9", "6", "6", "6"], ["5 RAISED"]),
        (["4.1", "4.1", "5.1", "5.1"], []),  # hours of warning are no hours of breach
        (["4.1", "4.1", "5.1", "5.1", "5.1"], ["4 RAISED"]),
        (["6", "6", "6", "11", "11", "9", "11", "11", "11"], ["2 RAISED", "8 ESCALATED"]),
    ],
)
def test_an_alert_waits_for_the_hours_the_policy_asks_for(drifts: list[str], told: list[str]) -> None:
    assert Watch(replace(FIVE, alert_after=3)).hours(drifts) == told


@pytest.mark.parametrize(
    ("drifts", "told"),
    [
        (["6", "0", "0"], ["0 RAISED"]),
        (["6", "0", "0", "0"], ["0 RAISED", "3 RESOLVED"]),
        (["6", "0", "0", "4.6", "0", "0"], ["0 RAISED"]),
        (["11", "8.5", "8.5", "4"], ["0 RAISED"]),  # leaving the severe edge is not being back inside
        (["11", "8.5", "8.5", "4", "4", "4"], ["0 RAISED", "5 RESOLVED"]),
    ],
)
def test_recovery_waits_for_the_hours_the_policy_asks_for(drifts: list[str], told: list[str]) -> None:
    assert Watch(replace(FIVE, recover_after=3)).hours(drifts) == told


def test_a_tick_opens_and_resolves_at_once_where_one_hour_would() -> None:
    watch = Watch()
    assert [watch.tick(drift) for drift in ("4.9", "5.1", "4.9", "5.1", "4.5")] == [
        [],
        ["RAISED"],
        [],
        [],
        ["RESOLVED"],
    ]


def test_ticks_are_no_hours() -> None:
    watch = Watch(replace(FIVE, alert_after=2, recover_after=2))
    assert [watch.tick("6") for _ in range(5)] == [[]] * 5
    assert watch.hours(["6"]) == []
    assert [watch.tick("6") for _ in range(5)] == [[]] * 5
    assert watch.tick("0") == []  # nor does a tick inside break the run of hours outside
    assert watch.hours(["6"]) == ["0 RAISED"]
    assert watch.hours(["0"]) == []
    assert [watch.tick("0") for _ in range(5)] == [[]] * 5
    assert watch.tick("6") == []
    assert watch.hours(["0"]) == ["0 RESOLVED"]


def test_the_same_hour_counts_once() -> None:
    watch = Watch(replace(FIVE, alert_after=2))
    assert watch.at("6", AS_OF) == []
    assert watch.at("6", AS_OF) == []
    assert watch.at("6", AS_OF - HOUR) == []
    assert watch.at("6", AS_OF + HOUR) == ["RAISED"]


def test_severity_follows_the_level_and_messages_carry_the_numbers() -> None:
    watch = Watch(replace(FIVE, alert_on_warning=True))
    told = [watch.see(report_at(drift, policy=watch.policy), TICK)[0] for drift in ("4.5", "5.5", "10.5", "1")]
    assert [(t.event, t.severity) for t in told] == [
        (AlertEventKind.RAISED, AlertSeverity.WARNING),
        (AlertEventKind.ESCALATED, AlertSeverity.CRITICAL),
        (AlertEventKind.ESCALATED, AlertSeverity.CRITICAL),
        (AlertEventKind.RESOLVED, AlertSeverity.INFO),
    ]
    assert [t.message for t in told] == [
        "A is at 54.5 %, target 50 %, band 45 to 55 %: nearly outside.",
        "A is at 55.5 %, target 50 %, band 45 to 55 %: outside.",
        "A is at 60.5 %, target 50 %, band 45 to 55 %: outside by more than the band itself.",
        "A is at 51 %, target 50 %, band 45 to 55 %: back inside.",
    ]
    assert all(t.entry is not None and t.entry.key == t.key == "A" for t in told)


def test_nothing_changes_when_nothing_is_new() -> None:
    watch = Watch()
    assert decide({}, report_at("1"), FIVE, AS_OF).changed == {}
    watch.see(report_at("6"), AS_OF)
    again = decide(watch.states, report_at("6"), FIVE, AS_OF + HOUR)
    assert (again.changed, again.gone, again.transitions) == ({}, (), ())


def test_a_sleeve_that_vanishes_resolves_its_alert() -> None:
    watch = Watch()
    both = snapshot("60 A @ 1, 40 B @ 1", {"A": "50", "B": "50"}, policy=FIVE)
    watch.see(measure(both), AS_OF)
    held_still = replace(both, targets=snapshot("40 B @ 1", {"B": "100"}).targets)
    # A is held still, without a target: further outside than before, as B is, which should be everything.
    told = {t.key: t.event for t in watch.see(measure(held_still), AS_OF + HOUR)}
    assert told == {"A": AlertEventKind.ESCALATED, "B": AlertEventKind.ESCALATED}
    sold = snapshot("40 B @ 1", {"B": "100"}, policy=FIVE)
    messages = {t.key: (t.event, t.message) for t in watch.see(measure(sold), AS_OF + 2 * HOUR)}
    assert messages["A"] == (AlertEventKind.RESOLVED, "A is no longer measured by itself.")
    assert "A" not in watch.states


def test_a_sleeve_without_alert_goes_silently() -> None:
    watch = Watch(replace(FIVE, alert_after=2))
    watch.see(report_at("6", policy=watch.policy), AS_OF)
    assert watch.states["A"].rising == 1
    told = watch.see(measure(snapshot("40 B @ 1", {"B": "100"}, policy=FIVE)), AS_OF + HOUR)
    assert told == ()
    assert "A" not in watch.states


def stale_report(*, missing: bool = False) -> Report:
    old = {} if missing else {"B": timedelta(days=5)}
    ledger = "60 A @ 1, 40 B" if missing else "60 A @ 1, 40 B @ 1"
    return measure(snapshot(ledger, {"A": "50", "B": "50"}, policy=FIVE, ages=old))


@pytest.mark.parametrize("missing", [False, True])
def test_stale_data_raises_one_alert_and_no_breach(missing: bool) -> None:
    watch = Watch()
    (told,) = watch.see(stale_report(missing=missing), AS_OF)
    assert (told.kind, told.key, told.event) == (AlertKind.DATA_STALE, None, AlertEventKind.RAISED)
    reason = "no price for B" if missing else "the price of B is too old"
    assert told.message == f"Drift cannot be judged: {reason}."
    assert watch.see(stale_report(missing=missing), AS_OF + HOUR) == ()
    assert set(watch.states) == {DATA_KEY}


def test_open_alerts_stay_while_data_is_stale_and_the_data_alert_ends_once() -> None:
    watch = Watch()
    fresh = measure(snapshot("60 A @ 1, 40 B @ 1", {"A": "50", "B": "50"}, policy=FIVE))
    assert [t.event for t in watch.see(fresh, AS_OF)] == [AlertEventKind.RAISED] * 2
    before = dict(watch.states)
    assert [t.kind for t in watch.see(stale_report(missing=True), AS_OF + HOUR)] == [AlertKind.DATA_STALE]
    assert {key: state for key, state in watch.states.items() if key != DATA_KEY} == before
    (told,) = watch.see(fresh, AS_OF + 2 * HOUR)
    assert (told.kind, told.event, told.message) == (
        AlertKind.DATA_STALE,
        AlertEventKind.RESOLVED,
        "All prices are fresh again.",
    )
    assert watch.see(fresh, AS_OF + 3 * HOUR) == ()


def test_without_targets_every_alert_ends() -> None:
    watch = Watch()
    start = snapshot("60 A @ 1, 40 B @ 1", {"A": "50", "B": "50"}, policy=FIVE)
    watch.see(measure(start), AS_OF)
    told = watch.see(measure(replace(start, targets=None)), AS_OF + HOUR)
    assert [t.event for t in told] == [AlertEventKind.RESOLVED] * 2
    assert watch.states == {}


@PROPERTY
@given(
    st.lists(st.tuples(decimals("-20", "20", 1), st.booleans()), max_size=30),
    st.integers(1, 3),
    st.integers(1, 3),
    st.booleans(),
)
def test_alerts_open_and_close_alternately_and_escalate_only_between(
    steps: list[tuple[Decimal, bool]], after: int, recover: int, warnings: bool
) -> None:
    policy = replace(FIVE, alert_after=after, recover_after=recover, alert_on_warning=warnings)
    watch = Watch(policy)
    is_open, escalations = False, 0
    for drift, is_tick in steps:
        watch.bucket += HOUR
        bucket = TICK if is_tick else watch.bucket
        for event in watch.at(drift, bucket):
            if event == "ESCALATED":
                escalations += 1
                assert is_open
                assert escalations <= 2
            else:
                assert is_open is (event == "RESOLVED")
                is_open, escalations = not is_open, 0
                outside = abs(drift) >= 4 if warnings else abs(drift) > 5
                assert outside if is_open else abs(drift) <= (Decimal("3.6") if warnings else Decimal("4.5"))
        assert bool(watch.states.get("A", SleeveState()).peak) is is_open
        # Measuring the same hour again decides nothing new; a second tick is as good as a new price.
        if not is_tick:
            assert watch.at(drift, bucket) == []
