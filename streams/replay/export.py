"""A part of the log as files, whole and exact: what is there already stays, what is missing up to the end is added.

The manifest holds the plan from the beginning, so that one that was stopped goes on to the end that it was to have.
"""

import fcntl
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import aclosing, contextmanager
from functools import partial
from pathlib import Path

import msgspec
from msgspec.structs import replace

from schemas.base import Value
from schemas.errors import LogBroken
from streams.replay.errors import FolderTaken
from streams.replay.files import Files, Format, PartitionWriter
from streams.replay.plan import Part, Plan
from streams.replay.processes import Monitor, Tell, in_processes
from streams.replay.source import Source

MANIFEST = "manifest.json"


class ExportedFile(Value, frozen=True, kw_only=True):
    path: str
    """From the folder of its topic on."""
    partition: int
    start: int
    stop: int
    bytes: int


class Manifest(Value, frozen=True, kw_only=True):
    """`files` is empty until all of them are there. `parts` are of the whole folder, whatever was asked for last."""

    topic: str
    format: Format
    parts: tuple[Part, ...]
    files: tuple[ExportedFile, ...] = ()
    is_complete: bool = False


def unfinished(folder: Path, topic: str) -> Plan | None:
    """What an export that was stopped was to bring into that folder. Raises FolderTaken."""
    manifest = _manifest(folder / topic)
    if manifest is None or manifest.is_complete:
        return None
    return Plan(topic=topic, parts=manifest.parts)


def export(
    source: Source, plan: Plan, folder: Path, format: Format, processes: int, tell: Tell = lambda _: None
) -> Manifest:
    """Raises LogBroken, LogUnavailable and FolderTaken; Stopped, after which the same call goes on."""
    files = Files(folder, source.topic, format)
    with _alone(files.folder):
        if (known := _manifest(files.folder)) is not None and known.format != format:
            raise FolderTaken(f"{files.folder} is an export as {known.format}")
        files.clear_unfinished()
        there = _there(files)
        missing = [_missing(files, part, there.get(part.partition)) for part in plan.parts]
        parts = _joined(there, missing, () if known is None else known.parts)
        manifest = Manifest(topic=source.topic, format=format, parts=parts)
        _save(files, manifest)
        in_processes(partial(_write, source, files), missing, processes, tell)
        manifest = replace(manifest, files=_listed(files), is_complete=True)
        _save(files, manifest)
    return manifest


async def _write(source: Source, files: Files, parts: Sequence[Part], monitor: Monitor) -> None:
    for part in parts:
        writer = PartitionWriter(files, part.partition)
        try:
            async with aclosing(source.batches(part)) as batches:
                async for batch in batches:
                    writer.take(batch)
                    monitor.read(len(batch))
            writer.close()
        finally:
            writer.abandon()


def _there(files: Files) -> dict[int, Part]:
    """What is in the files, by partition."""
    there: dict[int, Part] = {}
    for one in files.finished():
        start = there[one.partition].start if one.partition in there else one.start
        there[one.partition] = Part(partition=one.partition, start=start, stop=one.stop)
    return there


def _missing(files: Files, part: Part, there: Part | None) -> Part:
    """What is to be added to the files of its partition."""
    if there is None:
        return part
    if part.records and not there.start <= part.start <= there.stop:
        raise LogBroken(
            f"{files.folder} has offsets {there.start} to {there.stop} of partition {part.partition}, and "
            f"{part.start} to {part.stop} were asked for: an export grows from where it ends, without a hole"
        )
    return replace(part, start=there.stop, stop=max(part.stop, there.stop) if part.records else there.stop)


def _joined(there: Mapping[int, Part], missing: Sequence[Part], known: Sequence[Part]) -> tuple[Part, ...]:
    """All that the folder is to have: also of partitions that are not asked for now, and of those that had nothing."""
    joined = {part.partition: part for part in known if not part.records} | dict(there)
    for part in missing:
        joined[part.partition] = replace(part, start=there.get(part.partition, part).start)
    return tuple(joined[partition] for partition in sorted(joined))


def _listed(files: Files) -> tuple[ExportedFile, ...]:
    return tuple(
        ExportedFile(
            path=one.path.relative_to(files.folder).as_posix(),
            partition=one.partition,
            start=one.start,
            stop=one.stop,
            bytes=one.path.stat().st_size,
        )
        for one in files.finished()
    )


def _manifest(folder: Path) -> Manifest | None:
    try:
        return msgspec.json.decode((folder / MANIFEST).read_bytes(), type=Manifest)
    except FileNotFoundError:
        return None
    except msgspec.DecodeError as error:
        raise FolderTaken(f"{folder / MANIFEST} is not of an export: {error}") from error


def _save(files: Files, manifest: Manifest) -> None:
    unfinished = files.folder / f".{MANIFEST}"
    unfinished.write_bytes(msgspec.json.format(msgspec.json.encode(manifest), indent=1))
    unfinished.rename(files.folder / MANIFEST)


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    folder.mkdir(parents=True, exist_ok=True)
    place = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(place, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError as error:
        raise FolderTaken(f"another export is writing into {folder}") from error
    finally:
        os.close(place)
