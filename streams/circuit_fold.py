"""The one writer of the circuits whose messages lie in the partitions that this process was given.

A partition's circuits are loaded from their checkpoint when it is given to us, and forgotten when it is taken away. A
record that does not continue what was folded means that somebody else was here: then what is missing is read first.
Loading goes in pieces, beside the partitions that are loaded already; how far it came is seen, and kept when it fails.

It does not wait for its checkpoints. Without Postgres it folds on in memory, because a gateway that breaks meanwhile
must still be avoided by the payments that were admitted; after a crash the messages since the last checkpoint, which
carries its own watermark, are folded again from the log, whatever the group has committed. Only a partition that is new
to this process waits for Postgres, whose absence admits no payment anyway.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime
from typing import cast

import structlog
from msgspec.structs import replace

from commands.circuit import decide
from commands.circuit_state import resumed
from commands.circuit_writing import WrittenCircuit, write
from infra.kafka.partition import partition_for
from projections.absorption import Counts, dead_letter, decoded, grouped
from projections.ports import DeadLetters, RawRecord
from schemas.base import Event
from schemas.circuit import (
    CircuitEvent,
    CircuitKey,
    CircuitMessage,
    CircuitPolicy,
    CircuitTicked,
    circuit_name,
)
from schemas.codec import CIRCUIT_OUTCOMES_TOPIC, CIRCUITS_TOPIC
from schemas.envelope import Recorded
from schemas.errors import LogUnavailable, Unavailable, Unreadable
from schemas.views import DeadLetter, Watermark
from streams.circuit_forwarder import TELLS_FOR_MS
from streams.circuit_partition import Held, continues, restored, stored_circuit, unwritten
from streams.circuit_ports import Events, Facts, Log, Store

log = structlog.get_logger(__name__)

CHUNK = 1_000
"""Records that are read from the log and folded at a time."""
FACTS_WITHIN_S = 2.0
_POLL_S = 0.02


class CircuitFold:
    """`known_through` is the offset of `circuits.events.v1` below which all is in the facts."""

    def __init__(
        self,
        store: Store,
        log: Log,
        events: Events,
        facts: Facts,
        known_through: Callable[[], int],
        dead_letters: DeadLetters,
        policy_of: Callable[[CircuitKey], CircuitPolicy],
        now_ms: Callable[[], float],
    ) -> None:
        self._store = store
        self._log = log
        self._events = events
        self._facts = facts
        self._known_through = known_through
        self._dead_letters = dead_letters
        self._policy_of = policy_of
        self._now_ms = now_ms
        self._held: dict[int, Held] = {}
        self._loading: dict[int, Held] = {}
        self._turn = asyncio.Lock()
        self._trouble: Unavailable | None = None
        self.counts = Counts()
        self.transitions: Counter[tuple[CircuitKey, str]] = Counter()

    async def absorb(self, records: Sequence[RawRecord]) -> None:
        """Fold what continues what is held. Raises Unavailable.

        What does not is left to `hold`, which reads to the end of the log: a partition that cannot be loaded must not
        keep the others from opening.
        """
        async with self._turn:
            for partition, batch in grouped(records).items():
                held = self._held.get(partition)
                if held is None:
                    continue
                fresh = [one for one in batch if one.offset >= held.mark.next_offset]
                self.counts.known_already += len(batch) - len(fresh)
                if continues(held, fresh):
                    await self._fold(held, fresh)
                else:
                    self._loading[partition] = self._held.pop(partition)

    async def hold(self, assigned: Collection[int]) -> None:
        """Forget what is others', and have what is ours, folded to the end of the log: a circuit that nobody calls
        must be tried again as well. Raises Unavailable, after all that can be loaded is.

        To be given nothing is to be in the middle of a rebalance, mostly: what may be ours again is read on then.
        """
        async with self._turn:
            if not assigned:
                self._loading |= self._held
                self._held.clear()
                self._trouble = None
                return
            for others in (self._held, self._loading):
                for partition in others.keys() - set(assigned):
                    del others[partition]
        trouble: Unavailable | None = None
        for partition in sorted(set(assigned) - self._held.keys()):
            try:
                await self._load(partition)
            except Unavailable as error:
                trouble = error
        self._trouble = trouble
        if trouble is not None:
            raise trouble

    def due(self, now: datetime) -> list[CircuitTicked]:
        """A tick for each circuit to which it would make a difference."""
        ticks = []
        for held in self._held.values():
            for key, written in held.circuits.items():
                tick = CircuitTicked(gateway=key[0], payment_method=key[1], at=now)
                if decide(tick, written.circuit, self._policy_of(key))[0] is not written.circuit:
                    ticks.append(tick)
        return ticks

    async def save(self) -> None:
        """A checkpoint of what has changed. Raises StoreUnavailable."""
        ours = self._held | self._loading
        changed = {
            partition: held
            for partition, held in ours.items()
            if not held.is_saved and held.mark.next_offset >= held.saves_from
        }
        if not changed:
            return
        unsaved = {partition: held.unsaved for partition, held in changed.items()}
        stored = [
            stored_circuit(partition, key, held.circuits[key])
            for partition, held in changed.items()
            for key in held.unsaved
        ]
        marks = {partition: held.mark for partition, held in changed.items()}
        for held in changed.values():
            held.unsaved, held.is_saved = set(), True
        try:
            await self._store.save_checkpoint(marks, stored)
        except BaseException:
            for partition, held in changed.items():
                held.unsaved, held.is_saved = held.unsaved | unsaved[partition], False
            raise

    async def watermarks(self) -> Mapping[tuple[str, int], Watermark]:
        """Of what is held here or on its way. Raises Unavailable while something that should be cannot be loaded."""
        if self._trouble is not None:
            raise self._trouble
        ours = self._held | self._loading
        return {(CIRCUIT_OUTCOMES_TOPIC, partition): held.mark for partition, held in ours.items()}

    async def _load(self, partition: int) -> None:
        """From where it came to, or else the checkpoint, or else an hour ago, to the log's end."""
        await self._know_what_was_said()
        beginning = await self._log.beginning_offset(CIRCUIT_OUTCOMES_TOPIC, partition)
        held = self._loading.get(partition)
        if held is None or held.mark.next_offset < beginning:
            checkpoint = await self._store.checkpoint(partition)
            held = restored(checkpoint) or await self._new(partition)
            held.saves_from = checkpoint[0].next_offset if checkpoint else 0
            held.mark = replace(held.mark, next_offset=max(held.mark.next_offset, beginning))
            self._believe_what_was_said(partition, held)
            self._loading[partition] = held
        while partition not in self._held:
            async with self._turn:
                await self._load_on(partition, held)

    async def _new(self, partition: int) -> Held:
        """Nothing yet. What is older than the calls that are forwarded is known by the circuits' own events."""
        horizon_ms = round(self._now_ms()) - TELLS_FOR_MS
        first = await self._log.offset_at(CIRCUIT_OUTCOMES_TOPIC, partition, horizon_ms)
        return Held(mark=Watermark(next_offset=first, last_stamp_ms=0), circuits={})

    async def _load_on(self, partition: int, held: Held) -> None:
        """A piece of it. It is held once nothing is missing: what `absorb` has left out was on the log by then."""
        start, end = held.mark.next_offset, await self._log.end_offset(CIRCUIT_OUTCOMES_TOPIC, partition)
        stop = min(start + CHUNK, end)
        if start < end:
            missing = await self._log.read(CIRCUIT_OUTCOMES_TOPIC, partition, start, stop)
            await self._fold(held, missing)
            self.counts.fetched_from_gaps += len(missing)
        if stop == end:
            self._held[partition] = self._loading.pop(partition)

    async def _know_what_was_said(self) -> None:
        """What the writer before us has said is not said again, nor decided otherwise."""
        end = await self._log.end_offset(CIRCUITS_TOPIC, 0)
        for _ in range(round(FACTS_WITHIN_S / _POLL_S)):
            if self._known_through() >= end:
                return
            await asyncio.sleep(_POLL_S)
        raise LogUnavailable("the circuits' events are not known to their end")

    def _believe_what_was_said(self, partition: int, held: Held) -> None:
        """Of circuits whose last event is older than what will be folded, and not in the checkpoint: that was lost."""
        for key, told in self._facts.known.items():
            written = held.circuits.get(key) or unwritten(key, self._policy_of(key))
            if (
                partition_for(circuit_name(*key)) == partition
                and told.decided_by < held.mark.next_offset
                and told.sequence > written.sequence
            ):
                held.circuits[key] = WrittenCircuit(
                    circuit=resumed(written.circuit, told.view), sequence=told.sequence
                )
                held.unsaved.add(key)
                held.is_saved = False

    async def _fold(self, held: Held, records: Sequence[RawRecord]) -> None:
        """Told first and kept afterwards: what could not be told is decided again, and alike."""
        if not records:
            return
        changed: dict[CircuitKey, WrittenCircuit] = {}
        told: list[tuple[CircuitEvent, int, Recorded[Event]]] = []
        dead: list[DeadLetter] = []
        for record in records:
            try:
                read = _read(record)
                message = cast(CircuitMessage, read.event)
                key = message.gateway, message.payment_method
                policy = self._policy_of(key)
                before = changed.get(key) or held.circuits.get(key) or unwritten(key, policy)
                after, events = write(message, record.offset, before, policy, self._facts.known.get(key))
            except Exception as error:  # whatever a record does to us, it must not stop those behind it
                dead.append(dead_letter(record, error))
                continue
            changed[key] = after
            told += [(event, after.sequence, read) for event in events]
        if dead:
            await self._dead_letters.publish(dead)
        if told:
            await self._events.publish(told)
        held.circuits |= changed
        held.unsaved |= changed.keys()
        held.is_saved = False
        held.mark = Watermark(next_offset=records[-1].offset + 1, last_stamp_ms=records[-1].timestamp)
        self.counts.taken_in += len(records)
        self.counts.dead += len(dead)
        for event, _, _ in told:
            log.warning(
                "a circuit has changed",
                said=type(event).__name__,
                gateway=event.gateway,
                method=event.payment_method,
            )
            self.transitions[(event.gateway, event.payment_method), type(event).__name__] += 1


def _read(record: RawRecord) -> Recorded[Event]:
    recorded = decoded(record)
    message = cast(CircuitMessage, recorded.event)
    if record.key != circuit_name(message.gateway, message.payment_method).encode():
        raise Unreadable("its key is not its circuit")
    return recorded
