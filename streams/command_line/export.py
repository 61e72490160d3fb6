"""`export`: a part of the log as files."""

import argparse

import uvloop

from schemas.codec import PAYMENTS_TOPIC
from streams.command_line.asking import (
    Subjects,
    add_json,
    add_processes,
    add_range,
    asked_range,
    command,
    folder,
    settings,
)
from streams.command_line.codes import DONE
from streams.command_line.printing import complain, progress, say, say_json
from streams.replay.plan import Plan
from streams.replay.processes import processes_for
from streams.replay.source import Source


def add(subjects: Subjects) -> None:
    parser = command(
        subjects,
        "export",
        _export,
        "a part of the log as Parquet or CSV, a file for each day and partition",
        "--to 2026-11-24 cold\n--from 2026-11-23 --to 2026-11-24 --format csv monday\n"
        "--topic circuits.events.v1 circuits",
    )
    parser.add_argument(
        "folder", type=folder, help="one that was stopped in it goes on; one that is whole grows"
    )
    parser.add_argument("--topic", default=PAYMENTS_TOPIC, help="(default: %(default)s)")
    parser.add_argument(
        "--format", choices=("parquet", "csv"), default="parquet", help="(default: %(default)s)"
    )
    add_range(parser)
    add_processes(parser)
    add_json(parser)


def _export(asked: argparse.Namespace) -> int:
    from streams.replay.export import (
        export,
        unfinished,
    )  # Arrow is large, and the other commands need none of it

    source = Source(bootstrap_servers=settings().kafka_bootstrap_servers, topic=asked.topic)
    plan = unfinished(asked.folder, asked.topic)
    if plan is not None:
        complain(
            "an export that was stopped goes on, to the end that it was to have; ask again for anything else"
        )
    else:
        plan = uvloop.run(source.plan(asked_range(asked, asked.topic)))
    with progress("exported", plan.records) as tell:
        done = export(
            source, plan, asked.folder, asked.format, processes_for(plan.records, asked.processes), tell
        )
    if asked.json:
        say_json(done)
    else:
        records = Plan(topic=done.topic, parts=done.parts).records
        size_mb = sum(file.bytes for file in done.files) / 1e6
        say(
            f"{records:,} records are in {len(done.files)} files of {asked.folder / asked.topic}, {size_mb:,.1f} MB"
        )
    return DONE
