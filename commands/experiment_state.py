"""What is known of experiments: the fold of `experiments.events.v1`, which is the judge between two who act at once."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import assert_never

import msgspec
from msgspec.structs import asdict, replace

from commands.routing.assignment import assignment
from schemas.base import Value
from schemas.envelope import Recorded
from schemas.experiment import (
    MOST_RUNNING,
    Allocation,
    DesignOutline,
    Evidence,
    ExperimentConcluded,
    ExperimentEvent,
    ExperimentPaused,
    ExperimentResumed,
    ExperimentStarted,
    ExperimentStopped,
    HeardOfExperiments,
    RecordedDesign,
    RunningExperiment,
    Status,
    UnreadStarted,
)
from schemas.ids import ExperimentId


class Begun(Value, frozen=True, kw_only=True):
    experiment_id: ExperimentId
    design: RecordedDesign
    salt: str
    allocation: Allocation
    started_at: datetime
    started_by: str
    changed_at: datetime
    changed_by: str
    note: str
    paused_for: timedelta
    """Until it was last resumed, all pauses together."""
    evidence: Evidence | None
    """The numbers on which it was concluded or last paused by a guardrail; a resumption or a stop keeps them."""
    version: int
    """The offset after its last event that counted."""

    @property
    def planned(self) -> timedelta:
        return timedelta(days=self.design.planned_days)


class Running(Begun, frozen=True, kw_only=True):
    """Customers in its buckets are routed by their variant."""

    @property
    def planned_end(self) -> datetime:
        """When it is to be concluded; days on which it was paused were none of its plan."""
        return self.started_at + self.planned + self.paused_for


class Paused(Begun, frozen=True, kw_only=True):
    """Its buckets are kept, and nobody is routed otherwise."""

    is_by_guardrail: bool
    """Whether `evidence` is that of this pause; a person has none for theirs."""

    @property
    def planned_end(self) -> datetime:
        """When it is to be concluded unless somebody resumes it: it holds name and buckets no longer than planned."""
        return self.changed_at + self.planned


class Ended(Begun, frozen=True, kw_only=True):
    """For good; its name and buckets are free."""

    is_concluded: bool
    """With a verdict; otherwise a person has stopped it."""


Experiment = Running | Paused | Ended


class Unread(Value, frozen=True, kw_only=True):
    """One whose design this process is too old for: nobody is routed by it here, and its buckets are taken."""

    experiment_id: ExperimentId
    design: DesignOutline
    salt: str
    allocation: Allocation
    status: Status
    version: int
    """As of one that can be read."""


class Experiments(Value, frozen=True, kw_only=True):
    known: dict[ExperimentId, Experiment] = msgspec.field(default_factory=dict)
    """In the order in which they were started."""
    running: tuple[RunningExperiment, ...] = ()
    """As routing asks them: the oldest first."""
    unread: dict[ExperimentId, Unread] = msgspec.field(default_factory=dict)
    version: int = 0
    """The offset after the last event that counted."""


INITIAL = Experiments()


def evolve(experiments: Experiments, record: Recorded[HeardOfExperiments]) -> Experiments:
    """A void event changes nothing."""
    if is_void(experiments, record):
        return experiments
    event, version = record.event, record.position.offset + 1
    if isinstance(event, UnreadStarted) or event.experiment_id in experiments.unread:
        unread = {**experiments.unread, event.experiment_id: _unread_after(experiments, event, version)}
        return replace(experiments, unread=unread, version=version)
    one = _after(experiments, event, record.envelope.at, version)
    known = {**experiments.known, event.experiment_id: one}
    running = {other.experiment_id: other for other in experiments.running}
    running.pop(event.experiment_id, None)
    if isinstance(one, Running):
        running[event.experiment_id] = _as_routed(one)
    return Experiments(
        known=known,
        running=tuple(running[key] for key in known if key in running),
        unread=experiments.unread,
        version=version,
    )


def is_void(experiments: Experiments, record: Recorded[HeardOfExperiments]) -> bool:
    """Whether it is about a state that it does not follow from: somebody else was faster, or it was told twice."""
    if record.is_void:
        return True
    event = record.event
    status = _status(experiments, event.experiment_id)
    match event:
        case ExperimentStarted() | UnreadStarted():
            is_named = named(experiments, event.design.name) is not None
            return status is not None or is_named or is_full(experiments) or overlaps(experiments, event)
        case ExperimentPaused():
            return status != "RUNNING"
        case ExperimentResumed():
            return status != "PAUSED" or is_full(experiments) or overlaps(experiments, event)
        case ExperimentStopped():
            return status not in ("RUNNING", "PAUSED")
        case ExperimentConcluded():
            return status not in ("RUNNING", "PAUSED") or not _follows(experiments, event)
        case _:
            assert_never(event)


def _follows(experiments: Experiments, event: ExperimentConcluded) -> bool:
    one = _found(experiments, event.experiment_id)
    return one is not None and event.follows_version in (None, one.version)


def is_full(experiments: Experiments) -> bool:
    """Whether no other may run beside those that do, whoever can read them."""
    unread = sum(one.status == "RUNNING" for one in experiments.unread.values())
    return len(experiments.running) + unread >= MOST_RUNNING


def named(experiments: Experiments, name: str) -> ExperimentId | None:
    """The one of this name that has not ended, since there is one at most: whoever asks for it twice gets it once."""
    return next((one.experiment_id for one in _live(experiments) if one.design.name == name), None)


def overlaps(experiments: Experiments, event: ExperimentStarted | UnreadStarted | ExperimentResumed) -> bool:
    """Whether a bucket would be in two experiments of one salt."""
    salt = _salt(experiments, event.experiment_id) if isinstance(event, ExperimentResumed) else event.salt
    return any(
        one.first < other.end and other.first < one.end
        for one in event.allocation
        for holder in holders(experiments, salt, but=event.experiment_id)
        for other in holder.allocation
    )


def holders(experiments: Experiments, salt: str, but: ExperimentId) -> list[Running | Paused | Unread]:
    """Of buckets of this salt; a paused one keeps its own."""
    return [one for one in _live(experiments) if one.salt == salt and one.experiment_id != but]


def _live(experiments: Experiments) -> Iterator[Running | Paused | Unread]:
    """Those that have not ended."""
    yield from (one for one in experiments.known.values() if not isinstance(one, Ended))
    yield from live_unread(experiments).values()


def live_unread(experiments: Experiments) -> dict[ExperimentId, Unread]:
    """Those that have not ended, and that somebody who can read them has to lead."""
    unread = experiments.unread.items()
    return {key: one for key, one in unread if one.status in ("RUNNING", "PAUSED")}


def _status(experiments: Experiments, experiment_id: ExperimentId) -> Status | None:
    one = _found(experiments, experiment_id)
    return None if one is None else status_of(one)


def _found(experiments: Experiments, experiment_id: ExperimentId) -> Experiment | Unread | None:
    return experiments.known.get(experiment_id) or experiments.unread.get(experiment_id)


def status_of(experiment: Experiment | Unread) -> Status:
    match experiment:
        case Running():
            return "RUNNING"
        case Paused():
            return "PAUSED"
        case Ended(is_concluded=is_concluded):
            return "CONCLUDED" if is_concluded else "STOPPED"
        case Unread(status=status):
            return status
        case _:
            assert_never(experiment)


def _salt(experiments: Experiments, experiment_id: ExperimentId) -> str:
    one = experiments.known.get(experiment_id) or experiments.unread[experiment_id]
    return one.salt


def _unread_after(experiments: Experiments, event: HeardOfExperiments, version: int) -> Unread:
    if isinstance(event, ExperimentStarted | UnreadStarted):
        return Unread(
            experiment_id=event.experiment_id,
            design=DesignOutline(name=event.design.name),
            salt=event.salt,
            allocation=event.allocation,
            status="RUNNING",
            version=version,
        )
    before = replace(experiments.unread[event.experiment_id], version=version)
    match event:
        case ExperimentPaused():
            return replace(before, status="PAUSED")
        case ExperimentResumed():
            return replace(before, status="RUNNING", allocation=event.allocation)
        case ExperimentStopped():
            return replace(before, status="STOPPED")
        case ExperimentConcluded():
            return replace(before, status="CONCLUDED")
        case _:
            assert_never(event)


def _after(experiments: Experiments, event: ExperimentEvent, at: datetime, version: int) -> Experiment:
    if isinstance(event, ExperimentStarted):
        return Running(
            experiment_id=event.experiment_id,
            design=event.design,
            salt=event.salt,
            allocation=event.allocation,
            started_at=at,
            started_by=event.by,
            changed_at=at,
            changed_by=event.by,
            note=event.note,
            paused_for=timedelta(),
            evidence=None,
            version=version,
        )
    before = experiments.known[event.experiment_id]
    note = "" if isinstance(event, ExperimentConcluded) else event.note
    begun = replace(
        _begun(before),
        changed_at=at,
        changed_by=event.by,
        note=note,
        version=version,
    )
    match event:
        case ExperimentPaused():
            evidence = event.evidence or before.evidence
            is_by_guardrail = event.evidence is not None
            return Paused(**asdict(replace(begun, evidence=evidence)), is_by_guardrail=is_by_guardrail)
        case ExperimentResumed():
            # Times are those of who decided, and two clocks may differ.
            paused_for = before.paused_for + max(at - before.changed_at, timedelta())
            return Running(**asdict(replace(begun, allocation=event.allocation, paused_for=paused_for)))
        case ExperimentStopped():
            return Ended(**asdict(begun), is_concluded=False)
        case ExperimentConcluded():
            return Ended(**asdict(replace(begun, evidence=event.evidence)), is_concluded=True)
        case _:
            assert_never(event)


def _begun(experiment: Experiment) -> Begun:
    return Begun(**{name: getattr(experiment, name) for name in Begun.__struct_fields__})


def _as_routed(running: Running) -> RunningExperiment:
    return RunningExperiment(
        experiment_id=running.experiment_id,
        assignment=assignment(running.experiment_id, running.salt, running.allocation, running.design.arms),
        filter=running.design.filter,
        variants=running.design.variants,
    )
