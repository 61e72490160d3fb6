"""The circuit's decider, rule by rule."""

import msgspec
import pytest

from commands.circuit_state import Circuit, Closed, HalfOpen, Open, new_circuit
from commands.circuit_transitions import open_s
from schemas.circuit import (
    CircuitClosed,
    CircuitForcedClosed,
    CircuitForcedOpen,
    CircuitHalfOpened,
    CircuitMessage,
    CircuitOpened,
    CircuitPolicy,
    CircuitReleased,
    OpeningReason,
    lease_id,
    trial_of,
)
from tests.commands.circuits import (
    ALPHA,
    POLICY,
    UPI,
    a_call,
    a_probe_returns,
    a_probe_starts,
    a_tick,
    after,
    calls,
    fold,
    force_close,
    force_open,
    given,
    probes,
    release,
)

OUTAGE = calls("x" * 10)
HALF_OPEN: list[CircuitMessage] = [*OUTAGE, a_tick(30)]


def opened(
    *,
    opening: int = 1,
    at: float = 0,
    lasts: float = 30,
    reason: OpeningReason = "fast",
    statistic: int = 10,
    threshold: int = 10,
    calls: int = 10,
    failures: int = 10,
) -> CircuitOpened:
    return CircuitOpened(
        gateway=ALPHA,
        payment_method=UPI,
        at=after(at),
        until=after(at + lasts),
        opening=opening,
        reason=reason,
        statistic=statistic,
        threshold=threshold,
        baseline=0.8,
        calls=calls,
        failures=failures,
    )


def half_opened(*, trial: int = 1, at: float = 30, opening: int = 1) -> CircuitHalfOpened:
    return CircuitHalfOpened(
        gateway=ALPHA,
        payment_method=UPI,
        at=after(at),
        trial=trial,
        probes=5,
        probe_lease_s=30,
        opening=opening,
    )


def closed(*, succeeded: int = 4, failed: int = 0, at: float = 31, opening: int = 1) -> CircuitClosed:
    return CircuitClosed(
        gateway=ALPHA,
        payment_method=UPI,
        at=after(at),
        trial=opening,
        probes_succeeded=succeeded,
        probes_failed=failed,
        opening=opening,
    )


# Opening


def test_a_gateway_that_always_fails_is_cut_off_after_ten_calls_even_at_the_very_start() -> None:
    given(*calls("x" * 9)).when(a_call(failed=True, offset=9)).then(opened())


def test_a_gateway_that_fails_as_often_as_it_always_did_is_left_alone() -> None:
    given().when(*calls("....x" * 400)).then_nothing()


def test_a_small_drop_opens_too_by_the_slow_statistic_with_its_numbers() -> None:
    told = given(*calls(("." * 9 + "x") * 300)).when(*calls("..x" * 60, begin=3_000, at=5))
    (event,) = told.told
    assert isinstance(event, CircuitOpened)
    assert (event.reason, event.opening, event.baseline) == ("slow", 1, 0.89)
    assert event.statistic >= event.threshold
    assert event.calls > 3_000
    assert event.failures > 300


def test_an_outage_does_not_become_normal() -> None:
    healthy = calls(("." * 9 + "x") * 300)
    before, _ = fold(healthy)
    broken, told = fold(calls("x" * 8, begin=3_000), before)
    assert told
    assert broken.baseline == before.baseline


def test_while_it_is_open_nothing_but_a_tick_counts() -> None:
    given(*OUTAGE).when(*calls("." * 50, begin=10), *calls("x" * 50, begin=60)).then_nothing()


# Half-open


def test_a_tick_at_the_end_of_its_time_lets_probes_go_and_none_before() -> None:
    given(*OUTAGE).when(a_tick(29.999)).then_nothing()
    given(*OUTAGE).when(a_tick(30)).then(half_opened())


def test_it_closes_when_one_more_failure_could_not_prevent_it() -> None:
    given(*HALF_OPEN).when(*probes("...")).then_nothing()
    given(*HALF_OPEN).when(*probes("....")).then(closed())
    given(*HALF_OPEN).when(*probes(".x...")).then(closed(failed=1))


def test_the_second_failed_probe_opens_it_again_for_twice_as_long() -> None:
    given(*HALF_OPEN).when(*probes("x")).then_nothing()
    given(*HALF_OPEN).when(*probes("x.x")).then(
        opened(
            opening=2,
            at=31,
            lasts=60,
            reason="probe_failed",
            statistic=2,
            threshold=2,
            calls=3,
            failures=2,
        )
    )


def test_a_flood_of_successes_that_are_no_probes_does_not_close_it() -> None:
    given(*HALF_OPEN).when(*calls("." * 500, begin=10, at=31)).then_nothing()


def test_a_probe_of_an_earlier_trial_does_not_count() -> None:
    again = [*HALF_OPEN, *probes("xx"), a_tick(91)]
    given(*again).when(*probes("....", trial=1, begin=2_000, at=92)).then_nothing()


def test_a_probe_counts_once() -> None:
    one = [a_call(offset=1_000 + place, at=31, lease=lease_id(1, 1)) for place in range(9)]
    given(*HALF_OPEN).when(*one).then_nothing()


def test_a_probe_that_is_lost_decides_nothing_and_others_go_in_its_place() -> None:
    lost = [*HALF_OPEN, a_probe_starts(1, offset=11, at=31), a_probe_starts(2, offset=12, at=31)]
    given(*lost, *probes("...", names=(3, 4, 5))).when(a_tick(61)).then_nothing()
    given(*lost, *probes("...", names=(3, 4, 5)), a_tick(61)).when(
        a_call(offset=2_000, at=62, lease=lease_id(1, 6))
    ).then(closed(at=62))


def test_a_probe_that_was_given_up_for_lost_may_still_report() -> None:
    late = [*HALF_OPEN, a_probe_starts(1, offset=11, at=31), a_tick(61)]
    given(*late).when(*probes("....", at=62)).then(closed(at=62))


def test_a_probe_that_has_reported_is_not_lost() -> None:
    given(*HALF_OPEN, a_probe_starts(1, offset=11, at=31), *probes(".")).when(a_tick(100)).then_nothing()


def test_a_probe_that_ended_by_our_own_doing_has_neither_failed_nor_is_it_lost() -> None:
    numbers = range(1, 6)
    began = [*HALF_OPEN, *(a_probe_starts(number, offset=10 + number, at=31) for number in numbers)]
    ended = [a_probe_returns(number, offset=20 + number, at=32) for number in numbers]
    given(*began, *ended).when(a_tick(61)).then_nothing()
    given(*began, *ended, a_tick(61)).when(*probes("....", names=(6, 7, 8, 9), at=62)).then(closed(at=62))
    given(*began, *ended[1:]).when(a_tick(61), *probes("....", names=(6, 7, 8, 9), at=62)).then(closed(at=62))


def test_a_probe_that_returns_when_its_trial_is_over_changes_nothing() -> None:
    given(*OUTAGE).when(a_probe_returns(1, offset=1_000, at=1)).then_nothing()


def test_when_as_many_are_lost_as_there_are_probes_it_opens_again() -> None:
    started = [a_probe_starts(number, offset=10 + number, at=31) for number in range(1, 6)]
    given(*HALF_OPEN, *started).when(a_tick(61)).then(
        opened(
            opening=2,
            at=61,
            lasts=60,
            reason="probes_lost",
            statistic=5,
            threshold=5,
            calls=0,
            failures=0,
        )
    )


def test_without_any_traffic_it_waits_for_a_probe_and_says_nothing() -> None:
    given(*HALF_OPEN).when(*(a_tick(60 * minute) for minute in range(1, 100))).then_nothing()


# Back-off


@pytest.mark.parametrize(
    ("opening", "seconds"), [(1, 30), (2, 60), (3, 120), (4, 240), (5, 240), (10**9, 240)]
)
def test_each_opening_in_a_row_lasts_twice_as_long_up_to_the_longest(opening: int, seconds: int) -> None:
    assert open_s(opening, POLICY) == seconds


def test_one_that_opens_again_soon_after_closing_goes_on_with_its_back_off() -> None:
    given(*HALF_OPEN, *probes("....")).when(*calls("x" * 10, begin=2_000, at=630)).then(
        opened(opening=2, at=630, lasts=60)
    )


def test_one_that_was_healthy_for_long_begins_its_back_off_anew() -> None:
    given(*HALF_OPEN, *probes("....")).when(*calls("x" * 10, begin=2_000, at=631)).then(opened(at=631))


def test_after_closing_it_counts_afresh_from_the_baseline_it_had() -> None:
    before, _ = fold(calls(("." * 9 + "x") * 300))
    broken, _ = fold(calls("x" * 9, begin=3_000), before)
    circuit, _ = fold([a_tick(30), *probes("....", begin=4_000)], broken)
    assert circuit.state == Closed(opening=1, closed_at=after(31))
    assert circuit.baseline == before.baseline


# Operators


def forced_open(request_id: str = "req_1", *, at: float = 0) -> CircuitForcedOpen:
    return CircuitForcedOpen(
        gateway=ALPHA, payment_method=UPI, at=after(at), by="asha", note="maintenance", request_id=request_id
    )


FORCED_CLOSED = CircuitForcedClosed(
    gateway=ALPHA, payment_method=UPI, at=after(0), by="asha", note="it works", request_id="req_2"
)
RELEASED = CircuitReleased(
    gateway=ALPHA, payment_method=UPI, at=after(0), by="asha", note="it is over", request_id="req_3"
)


@pytest.mark.parametrize("before", [[], OUTAGE, HALF_OPEN, [force_close("req_0")]])
def test_an_operator_forces_it_whatever_it_is(before: list[CircuitMessage]) -> None:
    given(*before).when(force_open()).then(forced_open())
    given(*before).when(force_close()).then(FORCED_CLOSED)


@pytest.mark.parametrize("forced", [force_open(), force_close()])
def test_a_forced_one_heeds_nobody_but_operators(forced: CircuitMessage) -> None:
    others: list[CircuitMessage] = [
        *calls("x" * 100),
        *calls("." * 100, begin=100),
        *probes("xx....", trial=0),
        a_tick(10**6),
    ]
    given(forced).when(*others).then_nothing()
    given(forced, *others).when(release()).then(RELEASED)


def test_a_released_one_is_closed_and_counts_afresh() -> None:
    circuit = given(*HALF_OPEN, force_open()).when(release()).circuit
    assert circuit.state == Closed()


def test_one_that_is_not_forced_has_nothing_to_be_released_from() -> None:
    given(*OUTAGE).when(release()).then_nothing()


def test_the_same_command_twice_is_obeyed_once_and_another_is_answered() -> None:
    given(force_open(), release()).when(force_open(), release()).then_nothing()
    given(force_open()).when(force_open("req_9", at=5)).then(forced_open("req_9", at=5))


# Metrics only


def test_in_metrics_only_it_never_opens_and_remembers_when_it_would_have() -> None:
    watching = CircuitPolicy(mode="metrics_only")
    told = given(policy=watching).when(*calls("x" * 25, at=7))
    told.then_nothing()
    assert told.circuit.silenced.times == 2
    assert told.circuit.silenced.last_at == after(7)


@pytest.mark.parametrize("before", [OUTAGE, HALF_OPEN])
def test_an_open_one_that_is_only_to_count_from_now_on_closes(before: list[CircuitMessage]) -> None:
    circuit, _ = fold(before)
    _, told = fold([*probes("xx"), a_tick(32)], circuit, CircuitPolicy(mode="metrics_only"))
    assert [type(event) for event in told] == [CircuitClosed]


# Duplicates, leases, policies


def test_what_was_forwarded_before_is_ignored() -> None:
    given(*calls("x" * 9)).when(*calls("x" * 9)).then_nothing()


def test_every_source_partition_has_a_watermark_of_its_own() -> None:
    given(*calls("x" * 9)).when(a_call(failed=True, offset=0, partition=1)).then(opened())


@pytest.mark.parametrize("lease", ["", "1", "1.", ".1", "x.1", "-1.1", "²." + "1", "9" * 40 + ".1"])
def test_what_is_no_lease_names_no_trial(lease: str) -> None:
    assert trial_of(lease) is None
    assert trial_of(lease_id(12, "local-7f3a-1")) == 12


@pytest.mark.parametrize(
    "policy",
    [
        {"least_baseline": 0.95, "most_baseline": 0.9},
        {"first_open_s": 300},
        {"probes": 2, "probe_failures_allowed": 2},
        {"least_baseline": 0.5},
        {"mode": "off"},
    ],
)
def test_a_policy_that_makes_no_sense_is_refused(policy: dict[str, object]) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(policy, CircuitPolicy)


@pytest.mark.parametrize(
    "messages", [[], OUTAGE, [*HALF_OPEN, a_probe_starts(1, offset=11, at=31)], [force_open()]]
)
def test_a_checkpoint_is_read_as_it_was_written(messages: list[CircuitMessage]) -> None:
    circuit, _ = fold(messages)
    assert msgspec.json.decode(msgspec.json.encode(circuit), type=Circuit) == circuit


def test_states_are_what_they_are_called() -> None:
    assert isinstance(new_circuit(ALPHA, UPI, POLICY).state, Closed)
    assert isinstance(fold(OUTAGE)[0].state, Open)
    assert isinstance(fold(HALF_OPEN)[0].state, HalfOpen)
