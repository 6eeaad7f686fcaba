"""Alerts: once when it opens, once at each worse level, once when it is over."""

import random
from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal

import pytest

from app.core.alerts import (
    DATA_KEY,
    UNTARGETED,
    WHOLE_KEY,
    AlertEventKind,
    AlertKind,
    AlertSeverity,
    SleeveState,
    Transition,
    decide,
)
from app.core.bands import BandKind, Side, two_sided
from app.core.drift import Report, measure
from app.core.policy import Policy
from tests.builders import AS_OF, absolute, sleeve, snapshot

HOUR = timedelta(hours=1)
FIVE = Policy(default_band=absolute("5"))
TICK = None


def report_at(drift: Decimal | str, *, policy: Policy = FIVE, as_of: datetime = AS_OF) -> Report:
    """Measure sleeve A at 50 plus `drift` percent of a portfolio whose other half is spread thinly around 10 %."""
    over = Decimal(drift)
    rest = ", ".join(f"{(50 - over) / 5:f} B{number} @ 1" for number in range(5))
    thin = {f"B{number}": "10" for number in range(5)}
    return measure(snapshot(f"{50 + over:f} A @ 1, {rest}", {"A": "50", **thin}, policy=policy, as_of=as_of))


class Watch:
    """Feeds measurements to `decide` and keeps the states, as the scan and the price ticks do.

    In a series `4.9~` is a tick, `ack` somebody who acknowledges, `snooze 3` somebody who snoozes for three hours.
    """

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
        told, hour = [], -1
        for drift in drifts:
            if str(drift).startswith(("ack", "snooze")):
                self.say(str(drift))
                continue
            is_tick = str(drift).endswith("~")
            if not is_tick:
                self.bucket += HOUR
                hour += 1
            told += [f"{hour} {event}" for event in self.at(str(drift).rstrip("~"), TICK if is_tick else self.bucket)]
        return told

    def say(self, what: str) -> None:
        """Acknowledge or snooze, as the store writes it."""
        word, _, hours = what.partition(" ")
        until = self.bucket + int(hours) * HOUR if hours else None
        self.states["A"] = replace(self.states["A"], acknowledged=word == "ack", snoozed_until=until)

    def tick(self, drift: str) -> list[str]:
        return self.at(drift, TICK)

    def at(self, drift: Decimal | str, bucket: datetime | None) -> list[str]:
        transitions = self.see(report_at(drift, policy=self.policy, as_of=self.bucket), bucket)
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
        (["6", "6", "11", "11", "11"], ["2 RAISED", "4 ESCALATED"]),  # no level that was seen once
        (["11", "6", "11", "6", "11", "11"], ["2 RAISED"]),
        (["11", "11", "11"], ["2 RAISED"]),
    ],
)
def test_an_alert_waits_for_the_hours_the_policy_asks_for(drifts: list[str], told: list[str]) -> None:
    assert Watch(replace(FIVE, alert_after=3)).hours(drifts) == told


def test_each_level_waits_for_its_own_hours() -> None:
    watch = Watch(replace(FIVE, alert_after=2, alert_on_warning=True))
    assert watch.hours(["4.1", "6", "11", "11", "3", "11", "11"]) == [
        "1 RAISED",
        "2 ESCALATED",
        "3 ESCALATED",
        "4 RESOLVED",
        "6 RAISED",
    ]
    assert watch.states["A"].level == 3


@pytest.mark.parametrize(
    ("drifts", "level"),
    [
        (["11", "9.1"], 3),  # 0.9 of twice the band is 9
        (["11", "9", "9.1"], 3),
        (["11", "9", "9"], 2),
        (["11", "4.5", "4.5"], 1),
        (["11", "3.6", "3.6"], 0),
        (["11", "9", "3", "4.5"], 1),  # two hours below the outer edges, one below the inner
    ],
)
def test_each_edge_is_left_by_itself(drifts: list[str], level: int) -> None:
    watch = Watch(replace(FIVE, recover_after=2))
    watch.hours(drifts)
    assert watch.states["A"].level == level


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
    # A is kept without a target: another matter than a drift, and B, which should be everything, is further outside.
    kept = replace(both, targets=snapshot("40 B @ 1", {"B": "100"}).targets)
    told = [(t.kind.value, t.key, t.event.value) for t in watch.see(measure(kept), AS_OF + HOUR)]
    assert told == [("DRIFT", "B", "ESCALATED"), ("UNTARGETED", "A", "RAISED"), ("DRIFT", "A", "RESOLVED")]
    targeted = [(t.kind.value, t.key, t.event.value) for t in watch.see(measure(both), AS_OF + 2 * HOUR)]
    assert targeted == [("DRIFT", "A", "RAISED"), ("UNTARGETED", "A", "RESOLVED")]
    sold = snapshot("40 B @ 1", {"B": "100"}, policy=FIVE)
    messages = {t.key: (t.event, t.message) for t in watch.see(measure(sold), AS_OF + 3 * HOUR)}
    assert messages["A"] == (AlertEventKind.RESOLVED, "A is no longer measured by itself.")
    assert "A" not in watch.states


def test_an_alert_goes_on_under_another_band_of_its_sleeve() -> None:
    """New targets of the same key, or another default: the level is found anew by the new edges, of the same alert."""
    watch = Watch()
    assert watch.hours(["6"]) == ["0 RAISED"]
    watch.policy = Policy(default_band=absolute("6.5"))
    assert watch.hours(["6"]) == []  # within now, but not yet back at 0.9 of the edge
    watch.policy = Policy(default_band=absolute("2"))
    assert watch.hours(["6"]) == ["0 ESCALATED"]
    watch.policy = Policy(default_band=absolute("7"))
    assert watch.hours(["6"]) == ["0 RESOLVED"]
    watch.policy = Policy(default_band=absolute("0"))
    assert watch.hours(["0", "0.1", "0"]) == ["1 RAISED", "2 RESOLVED"]


def test_a_sleeve_without_alert_goes_silently() -> None:
    watch = Watch(replace(FIVE, alert_after=2))
    watch.see(report_at("6", policy=watch.policy), AS_OF)
    assert watch.states["A"].runs == (1, 1, 0)
    told = watch.see(measure(snapshot("40 B @ 1", {"B": "100"}, policy=FIVE)), AS_OF + HOUR)
    assert told == ()
    assert "A" not in watch.states


def stale_report(*, missing: bool = False) -> Report:
    old = {} if missing else {"B": timedelta(days=5)}
    ledger = "60 A @ 1, 40 B" if missing else "60 A @ 1, 40 B @ 1"
    return measure(snapshot(ledger, {"A": "50", "B": "50"}, policy=FIVE, ages=old))


@pytest.mark.parametrize("missing", [False, True])
def test_stale_data_is_remembered_since_when_and_raises_no_breach(missing: bool) -> None:
    watch = Watch()
    assert watch.see(stale_report(missing=missing), AS_OF) == ()
    assert watch.states == {DATA_KEY: SleeveState(1, 1, told_at=AS_OF, symbols=("B",))}
    later = replace(stale_report(missing=missing), as_of=AS_OF + HOUR)
    again = decide(watch.states, later, FIVE, AS_OF + HOUR)
    assert (again.changed, again.gone, again.transitions, again.data_changed) == ({}, (), (), False)
    more = replace(later, valuation=replace(later.valuation, missing=("C",)))
    assert watch.see(more, AS_OF + HOUR) == ()
    assert watch.states == {DATA_KEY: SleeveState(1, 1, told_at=AS_OF, symbols=("C",) if missing else ("B", "C"))}


def test_open_alerts_stay_while_data_is_stale() -> None:
    watch = Watch(replace(FIVE, remind_after_s=3600))
    fresh = measure(snapshot("60 A @ 1, 40 B @ 1", {"A": "50", "B": "50"}, policy=FIVE))
    assert [t.event for t in watch.see(fresh, AS_OF)] == [AlertEventKind.RAISED] * 2
    before = dict(watch.states)
    stale = replace(stale_report(missing=True), as_of=AS_OF + 2 * HOUR)
    assert watch.see(stale, AS_OF + 2 * HOUR) == ()
    assert {key: state for key, state in watch.states.items() if key != DATA_KEY} == before
    decision = decide(watch.states, fresh, FIVE, AS_OF + 3 * HOUR)
    assert (decision.changed, decision.gone, decision.transitions) == ({}, (DATA_KEY,), ())
    assert decision.data_changed


def test_without_targets_every_alert_ends() -> None:
    watch = Watch()
    start = snapshot("60 A @ 1, 40 B @ 1", {"A": "50", "B": "50"}, policy=FIVE)
    watch.see(measure(start), AS_OF)
    told = watch.see(measure(replace(start, targets=None)), AS_OF + HOUR)
    assert [(t.event, t.message) for t in told] == [
        (AlertEventKind.RESOLVED, "The portfolio has no targets any more.")
    ] * 2
    assert watch.states == {}


@pytest.mark.parametrize(
    ("drifts", "told"),
    [
        (["6", "6", "6", "6", "6", "6", "6"], ["0 RAISED", "3 REMINDED", "6 REMINDED"]),
        (["6", "6", "6", "6~", "6"], ["0 RAISED", "3 REMINDED"]),
        (["6", "6", "11", "6", "6", "6"], ["0 RAISED", "2 ESCALATED", "5 REMINDED"]),  # since it was last told
        (["6", "6", "6", "4"], ["0 RAISED", "3 RESOLVED"]),
        (["6", "4", "6", "6", "6", "6"], ["0 RAISED", "1 RESOLVED", "2 RAISED", "5 REMINDED"]),
        (["6", "ack", "6", "6", "6", "6"], ["0 RAISED"]),
        (["6", "ack", "6", "11", "6", "6", "6"], ["0 RAISED", "2 ESCALATED", "5 REMINDED"]),
        (["6", "ack", "4", "6", "6", "6", "6"], ["0 RAISED", "1 RESOLVED", "2 RAISED", "5 REMINDED"]),
        (["6", "snooze 5", "6", "6", "6", "6", "6", "6"], ["0 RAISED", "5 REMINDED"]),
        (["6", "snooze 1", "6", "6", "6", "6"], ["0 RAISED", "1 REMINDED", "4 REMINDED"]),
        (["6", "snooze 5", "11", "6", "6", "6"], ["0 RAISED", "1 ESCALATED", "4 REMINDED"]),
        (["6", "snooze 2", "4", "6", "6"], ["0 RAISED", "1 RESOLVED", "2 RAISED"]),
        (["6", "snooze 5", "snooze", "6", "6", "6"], ["0 RAISED", "3 REMINDED"]),
    ],
)
def test_an_open_alert_is_told_again_as_the_policy_and_people_say(drifts: list[str], told: list[str]) -> None:
    assert Watch(replace(FIVE, remind_after_s=3 * 3600)).hours(drifts) == told


@pytest.mark.parametrize(
    ("drifts", "told"),
    [
        (["6", *["6"] * 100], ["0 RAISED"]),  # 0 is never
        (["6", "snooze 2", "6", "6", "6", "6"], ["0 RAISED", "2 REMINDED"]),
    ],
)
def test_without_an_interval_only_a_snooze_that_ends_is_told(drifts: list[str], told: list[str]) -> None:
    assert Watch().hours(drifts) == told


def test_reminders_say_where_it_stands_by_now() -> None:
    watch = Watch(replace(FIVE, remind_after_s=3600))
    messages = []
    for drift in ("6", "10.5", "5.5", "4.8", "2"):
        watch.bucket += HOUR
        (told,) = watch.see(report_at(drift, policy=watch.policy, as_of=watch.bucket), watch.bucket)
        messages.append(f"{told.event.value} {told.severity.value} {told.message.rpartition(': ')[2]}")
    assert messages == [
        "RAISED CRITICAL outside.",
        "ESCALATED CRITICAL outside by more than the band itself.",
        "REMINDED CRITICAL still outside.",
        "REMINDED CRITICAL still nearly outside.",
        "RESOLVED INFO back inside.",
    ]


@pytest.mark.parametrize(
    ("holdings", "told"),
    [
        (["95 A @ 1, 5 X @ 1"], []),  # exactly on the edge is within
        (["94 A @ 1, 6 X @ 1"], ["0 RAISED WARNING"]),
        (["89 A @ 1, 11 X @ 1"], ["0 RAISED CRITICAL"]),
        (
            ["94 A @ 1, 6 X @ 1", "89 A @ 1, 11 X @ 1", "96 A @ 1, 4 X @ 1"],
            ["0 RAISED WARNING", "1 ESCALATED CRITICAL", "2 RESOLVED INFO"],
        ),
        (["94 A @ 1, 6 X @ 1", "100 A @ 1"], ["0 RAISED WARNING", "1 RESOLVED INFO"]),
    ],
)
def test_a_holding_without_target_is_alerted_by_the_default_band(holdings: list[str], told: list[str]) -> None:
    watch = Watch(replace(FIVE, default_band=absolute("5")))
    # A cannot be outside: its own band is as wide as the portfolio.
    seen = []
    for hour, ledger in enumerate(holdings):
        report = measure(snapshot(ledger, {"A": sleeve("100", "A", band=absolute("100"))}, policy=watch.policy))
        for one in watch.see(report, AS_OF + hour * HOUR):
            assert (one.kind, one.key) == (AlertKind.UNTARGETED, "X")
            seen.append(f"{hour} {one.event.value} {one.severity.value}")
    assert seen == told


def test_the_message_of_a_holding_without_target_says_what_to_do() -> None:
    report = measure(snapshot("94 A @ 1, 6 X @ 1", {"A": sleeve("100", "A", band=absolute("100"))}, policy=FIVE))
    watch = Watch()
    (told,) = watch.see(report, AS_OF)
    assert told.message == (
        "X has no target and is 6 % (6 USD) of what is weighed; up to 5 % is tolerated: outside. "
        "Give it a target or sell it."
    )
    assert watch.states[f"{UNTARGETED}X"].peak == 2
    assert told.entry
    assert told.entry.key == "X"


WIDE = sleeve("50", band=absolute("50"))


@pytest.mark.parametrize(
    ("held", "told"),
    [
        (["60"], []),  # 10 % would have to change hands, exactly the limit
        (["61"], ["0 RAISED CRITICAL"]),
        (
            ["61", "71", "60", "59", "61"],
            ["0 RAISED CRITICAL", "1 ESCALATED CRITICAL", "3 RESOLVED INFO", "4 RAISED CRITICAL"],
        ),
    ],
)
def test_the_portfolio_as_a_whole_is_alerted_by_its_own_limit(held: list[str], told: list[str]) -> None:
    watch = Watch(replace(FIVE, portfolio_band=Decimal(10)))
    seen = []
    for hour, over in enumerate(held):
        ledger = f"{over} A @ 1, {100 - int(over)} B @ 1"
        for one in watch.see(
            measure(snapshot(ledger, {"A": WIDE, "B": WIDE}, policy=watch.policy)), AS_OF + hour * HOUR
        ):
            assert (one.kind, one.key, one.entry) == (AlertKind.DRIFT, None, None)
            seen.append(f"{hour} {one.event.value} {one.severity.value}")
    assert seen == told


def test_the_whole_portfolio_is_no_longer_alerted_when_the_policy_drops_its_limit() -> None:
    watch = Watch(replace(FIVE, portfolio_band=Decimal(10)))
    report = measure(snapshot("61 A @ 1, 39 B @ 1", {"A": WIDE, "B": WIDE}, policy=watch.policy))
    (raised,) = watch.see(report, AS_OF)
    assert raised.message == (
        "11 % of the portfolio (11 USD) would have to change hands to reach its targets, limit 10 %: outside."
    )
    watch.policy = FIVE
    (told,) = watch.see(report, AS_OF + HOUR)
    assert (told.key, told.event) == (None, AlertEventKind.RESOLVED)
    assert told.message == "The policy has no limit for the portfolio as a whole any more."
    assert WHOLE_KEY not in watch.states


def test_a_warning_ends_when_the_policy_asks_for_none() -> None:
    watch = Watch(replace(FIVE, alert_on_warning=True))
    assert watch.hours(["4.5"]) == ["0 RAISED"]
    watch.policy = FIVE
    (told,) = watch.see(report_at("4.5"), TICK)
    assert told.message.endswith(": no longer alerted, as the policy asks for no warnings.")
    watch.policy = replace(FIVE, alert_on_warning=True)
    assert watch.tick("4.5") == ["RAISED"]


LOPSIDED = two_sided(Side(BandKind.ABSOLUTE, absolute=Decimal(2)), Side(BandKind.ABSOLUTE, absolute=Decimal(8)))


@pytest.mark.parametrize(
    ("drifts", "told"),
    [
        (["7", "8", "8.1"], ["2 RAISED"]),  # 8 above
        (["-1", "-2", "-2.1"], ["2 RAISED"]),  # 2 below
        (["8.1", "7.3", "7.2"], ["0 RAISED", "2 RESOLVED"]),  # 0.9 of 8
        (["-2.1", "-1.9", "-1.8"], ["0 RAISED", "2 RESOLVED"]),  # 0.9 of 2
        (["9", "-3"], ["0 RAISED"]),
        (["9", "-1"], ["0 RAISED", "1 RESOLVED"]),
        (["-3", "3"], ["0 RAISED", "1 RESOLVED"]),  # beyond what is tolerated below, and well within above
        (["-4", "-4.1", "16", "16.1"], ["0 RAISED", "1 ESCALATED"]),
        (["16", "16.1"], ["0 RAISED", "1 ESCALATED"]),
    ],
)
def test_each_side_of_a_band_has_its_own_edges(drifts: list[str], told: list[str]) -> None:
    assert Watch(Policy(default_band=LOPSIDED)).hours(drifts) == told


def price_path(made: random.Random) -> list[tuple[Decimal, bool]]:
    """Walk through all levels on both sides, by steps as small as a tenth of a point and now and then by a leap."""
    drift, steps = 0, []
    for _ in range(60):
        drift += made.choice([-1, 1]) * made.choice([1, 2, 5, 10, 30, 100])
        drift = max(-200, min(200, drift))
        steps.append((Decimal(drift).scaleb(-1), made.random() < 0.3))
    return steps


@pytest.mark.parametrize("seed", range(60))
def test_alerts_open_and_close_alternately_and_escalate_only_between(seed: int) -> None:
    made = random.Random(seed)
    after, recover, warnings = made.randint(1, 3), made.randint(1, 3), made.random() < 0.5
    steps = price_path(made)
    policy = replace(FIVE, alert_after=after, recover_after=recover, alert_on_warning=warnings)
    watch = Watch(policy)
    is_open, escalations, peak = False, 0, 0
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
        state = watch.states.get("A", SleeveState())
        assert bool(state.peak) is is_open
        assert state.peak >= peak or not is_open
        peak = state.peak
        _assert_edges_lie_within_each_other(state)
        # Measuring the same hour again decides nothing new; a second tick is as good as a new price.
        if not is_tick:
            assert watch.at(drift, bucket) == []


def _assert_edges_lie_within_each_other(state: SleeveState) -> None:
    """What speaks for crossing an edge outward speaks for all inner ones that are not reached, and the other way."""
    inner, outer = state.runs[: state.level], state.runs[state.level :]
    assert list(inner) == sorted(inner)
    assert list(outer) == sorted(outer, reverse=True)


@pytest.mark.parametrize("seed", range(60))
def test_hours_decide_as_the_definition_says(seed: int) -> None:
    """Each edge by itself, from the whole series: in once p hours running reached it, out once q were at 0.9 of it."""
    made = random.Random(seed)
    after, recover, warnings = made.randint(1, 3), made.randint(1, 3), made.random() < 0.5
    drifts = made.choices(["0", "3.6", "4", "4.5", "4.9", "5", "5.1", "9", "9.5", "10.1"], k=40)
    edges = [Decimal(4), Decimal(5), Decimal(10)]
    expected, inside, peak = [], [True] * 3, 0
    for hour in range(len(drifts)):
        for place, edge in enumerate(edges):
            seen = [Decimal(drift) for drift in drifts[: hour + 1]]
            if len(seen) >= after and all(one >= edge if place == 0 else one > edge for one in seen[-after:]):
                inside[place] = False
            if len(seen) >= recover and all(one <= edge * 9 / 10 for one in seen[-recover:]):
                inside[place] = True
        level = inside.count(False)
        if level < (1 if warnings else 2):
            expected += [f"{hour} RESOLVED"] if peak else []
            peak = 0
        elif level > peak:
            expected += [f"{hour} ESCALATED" if peak else f"{hour} RAISED"]
            peak = level
    policy = replace(FIVE, alert_after=after, recover_after=recover, alert_on_warning=warnings)
    assert Watch(policy).hours(drifts) == expected
