"""`replay`: a projection made again, into a store of its own."""

import argparse

import uvloop

from schemas.codec import PAYMENTS_TOPIC
from streams.command_line.asking import (
    Subjects,
    add_cold,
    add_processes,
    add_range,
    asked_range,
    command,
    settings,
)
from streams.command_line.printing import complain, progress, say, tell_seams
from streams.replay.into_postgres import prepare, replay_payments
from streams.replay.processes import processes_for
from streams.replay.source import Source


def add(subjects: Subjects) -> None:
    parser = command(
        subjects,
        "replay",
        _replay,
        "a projection made again from the log, in a database of its own",
        "payments postgres://postgres:postgres@localhost:5432/analysis\n"
        "payments postgres://postgres:postgres@localhost:5432/monday --from 2026-11-23 --to 2026-11-24",
    )
    parser.add_argument("projection", choices=("payments",))
    parser.add_argument("database", help="made if there is none; one that was begun goes on")
    add_range(parser)
    add_cold(parser)
    add_processes(parser)


def _replay(asked: argparse.Namespace) -> int:
    source = Source(
        bootstrap_servers=settings().kafka_bootstrap_servers, topic=PAYMENTS_TOPIC, cold=asked.cold
    )
    plan = uvloop.run(source.plan(asked_range(asked)))
    tell_seams(plan.topic, plan.seams)
    plan = uvloop.run(prepare(asked.database, plan))
    with progress("replayed", plan.records) as tell:
        dead = replay_payments(
            source, plan, asked.database, processes_for(plan.records, asked.processes), tell
        )
    say(f"{plan.records:,} records were read")
    if dead:
        complain(f"{dead:,} could not be taken in: projection_errors has them")
    return 0
