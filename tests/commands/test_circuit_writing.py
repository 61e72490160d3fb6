"""What was told is true: a writer that is put back to a checkpoint, or begins anew, decides nothing a second time."""

from itertools import accumulate

from hypothesis import given
from hypothesis import strategies as st

from commands.circuit_state import new_circuit, resumed
from commands.circuit_writing import WrittenCircuit, write
from projections.circuits import evolve
from schemas.circuit import CircuitEvent, CircuitMessage, CircuitPolicy, CircuitView, KnownCircuit
from tests.commands.circuits import ALPHA, POLICY, UPI, a_tick, calls, fold, force_open, probes, release

STORY: list[CircuitMessage] = [
    *calls("." * 20 + "x" * 12, at=0),
    a_tick(31),
    *probes("xx"),
    a_tick(200),
    *probes("....", trial=2, begin=2_000, at=201),
    *calls("x" * 14, begin=3_000, at=230),
    force_open(at=240),
    release(at=250),
    *calls("..x", begin=4_000, at=251),
]
NEW = WrittenCircuit(circuit=new_circuit(ALPHA, UPI, POLICY))
STRICTER = CircuitPolicy(probes=1, probe_failures_allowed=0, first_open_s=1, least_baseline=0.99)


def writing(
    messages: list[CircuitMessage],
    begin: int = 0,
    written: WrittenCircuit = NEW,
    told: KnownCircuit | None = None,
    policy: CircuitPolicy = POLICY,
) -> tuple[WrittenCircuit, list[tuple[int, int, CircuitEvent]]]:
    """With the offset and the number of each event."""
    said = []
    for offset, message in enumerate(messages, start=begin):
        written, events = write(message, offset, written, policy, told)
        said += [(offset, written.sequence, event) for event in events]
    return written, said


def known(said: list[tuple[int, int, CircuitEvent]]) -> KnownCircuit | None:
    if not said:
        return None
    *_, view = accumulate((event for _, _, event in said), evolve, initial=CircuitView())
    return KnownCircuit(view=view, sequence=said[-1][1], decided_by=said[-1][0])


def test_events_are_numbered_from_one() -> None:
    _, said = writing(STORY)
    assert [event for *_, event in said] == fold(STORY)[1]
    assert [sequence for _, sequence, _ in said] == list(range(1, len(said) + 1))
    assert len(said) == 8


@given(crashed=st.integers(0, len(STORY)), saved=st.integers(0, len(STORY)), heard=st.booleans())
def test_after_a_crash_everything_is_told_once_and_alike(crashed: int, saved: int, heard: bool) -> None:
    """From any checkpoint, whether or not the writer has heard what was told before it: numbers tell what is new."""
    saved = min(saved, crashed)
    checkpoint, before = writing(STORY[:saved])
    _, lost = writing(STORY[saved:crashed], saved, checkpoint)
    told = known(before + lost) if heard else known(before)
    final, again = writing(STORY[saved:], saved, checkpoint, told)
    if heard:
        assert before + lost + again == writing(STORY)[1]
    else:
        assert again[: len(lost)] == lost
        assert before + again == writing(STORY)[1]
    assert final == writing(STORY)[0]


@given(crashed=st.integers(0, len(STORY)))
def test_whoever_begins_anew_under_another_policy_takes_the_state_that_was_told(crashed: int) -> None:
    _, said = writing(STORY[:crashed])
    told = known(said)
    _, again = writing(STORY[:crashed], told=told, policy=STRICTER)
    if told is not None:
        assert [one for one in again if one[0] <= told.decided_by] == []
        at_event, _ = writing(STORY[: told.decided_by + 1], told=told, policy=STRICTER)
        assert at_event.circuit == resumed(at_event.circuit, told.view)
        assert at_event.sequence == told.sequence
        assert [sequence for _, sequence, _ in again] == list(
            range(told.sequence + 1, told.sequence + 1 + len(again))
        )


def test_what_a_circuit_was_told_to_be_is_what_its_events_say() -> None:
    for crashed in range(len(STORY)):
        written, said = writing(STORY[: crashed + 1])
        if said and said[-1][0] == crashed:
            told = known(said)
            assert told is not None
            assert resumed(written.circuit, told.view) == written.circuit
