"""`replay`: a projection made again from the log, into a store of its own or into a file."""

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path
from urllib.parse import urlsplit

import uvloop

from infra.settings import Settings
from schemas.codec import CIRCUITS_TOPIC, CONFIGURATION_TOPIC, PAYMENTS_TOPIC
from streams.command_line.asking import (
    Subjects,
    add_cold,
    add_processes,
    add_range,
    asked_range,
    command,
    file,
    settings,
)
from streams.command_line.codes import DONE
from streams.command_line.printing import complain, progress, say, tell_seams, tell_stored
from streams.replay.audit import audit_into_file, audit_into_postgres, audit_left, planned
from streams.replay.circuits import circuits_into_file, circuits_into_postgres
from streams.replay.errors import StoreTaken
from streams.replay.hot_metrics import last_hour, metrics_into_file, metrics_into_redis
from streams.replay.into_file import experiments_into_file, payments_into_file
from streams.replay.into_postgres import EXPERIMENTS, PAYMENTS, Kind, into_postgres, prepare
from streams.replay.plan import Plan
from streams.replay.processes import Monitor, Tell, processes_for, telling
from streams.replay.source import Source

POSTGRES, REDIS = ("postgres", "postgresql"), ("redis", "rediss", "unix")
ITS_OWN = "made if there is none; one that was begun goes on, and one that no replay has begun is refused"

Done = tuple[int, int]
"""Records that were read, and how many of them could not be taken in."""
Replay = Callable[[argparse.Namespace, Settings], Done]


def add(subjects: Subjects) -> None:
    parser = command(
        subjects,
        "replay",
        lambda _: 2,
        "a projection made again from the log, in a store of its own or as a file",
        "payments --into postgres://postgres:postgres@localhost:5432/analysis\n"
        "payments --from 2026-11-23 --to 2026-11-24 --file monday.jsonl\n"
        "metrics --to 2026-11-23T09:30:00Z --file metrics.jsonl\n"
        "metrics --into redis://127.0.0.1:6379/7\n"
        "circuits --to 2h --file circuits.jsonl\n"
        "experiments --into postgres://postgres:postgres@localhost:5432/analysis\n"
        "audit --from 24h --file audit.jsonl",
    )
    projections = parser.add_subparsers(required=True, metavar="payments|metrics|circuits|experiments|audit")
    payments = _add(
        projections,
        "payments",
        _payments,
        POSTGRES,
        ITS_OWN,
        "Payments with their attempts and decisions, of the records of the range. Memory is bounded: for a file the "
        "records of long partitions are put aside in its folder meanwhile, some hundred bytes each.",
    )
    metrics = _add(
        projections,
        "metrics",
        _metrics,
        REDIS,
        "a database that is empty",
        "Hot metrics: the tallies of the hour before the range's end, of the records of the range. That hour is held "
        "in memory, as a metrics worker holds it.",
    )
    circuits = _add(
        projections,
        "circuits",
        _circuits,
        POSTGRES,
        ITS_OWN,
        "What everybody knew of each circuit at the range's end. It begins with the first event, since each says only "
        "what it changes.",
    )
    circuits.set_defaults(
        refused=("since", "from_offset", "from_earliest", "partitions"),
        because="circuits are folded from their first event on, since each says only what it changes",
    )
    experiments = _add(
        projections,
        "experiments",
        _experiments,
        POSTGRES,
        ITS_OWN,
        "Experiments' sums by customer and by variant: of payments that were assigned in the range, with all that is "
        "known of them by its end. For a file all customers are held in memory, some kilobyte each.",
    )
    audit = _add(
        projections,
        "audit",
        _audit,
        POSTGRES,
        ITS_OWN,
        "Who has changed what in the range, and what was there before, which is folded from the beginning. Its topics "
        "have offsets of their own, so a range is one of time.",
    )
    audit.set_defaults(
        refused=("from_offset", "to_offset", "partitions"),
        because="the audit has several topics, and a range of it is one of time",
    )
    for parser in (payments, metrics, experiments):
        add_processes(parser)


def _add(
    projections: Subjects, name: str, replay: Replay, schemes: Sequence[str], store: str, purpose: str
) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = projections.add_parser(
        name, help=purpose.partition(":")[0].partition(".")[0].lower(), description=purpose
    )
    target = parser.add_mutually_exclusive_group(required=True)
    target.add_argument("--into", type=_url_of(schemes), metavar="URL", help=store)
    target.add_argument(
        "--file",
        type=file,
        metavar="FILE",
        help="a JSON object a line, always in the same order; it replaces what had that name once it is whole",
    )
    add_range(parser)
    add_cold(parser)
    parser.set_defaults(run=_replay, replay=replay, refuse=parser.error, refused=())
    return parser


def _url_of(schemes: Sequence[str]) -> Callable[[str], str]:
    def url(text: str) -> str:
        if text.partition("://")[0] not in schemes:
            raise argparse.ArgumentTypeError(f"{text} is no URL that begins with {schemes[0]}://")
        return text

    return url


def _replay(asked: argparse.Namespace) -> int:
    for name in asked.refused:
        if getattr(asked, name) not in (None, False):
            option = {"since": "from", "until": "to"}.get(name, name.replace("_", "-"))
            asked.refuse(f"--{option} has no meaning: {asked.because}")
    found = settings()
    if asked.into is not None:
        _require_another_store(asked.into, found)
    records, dead = asked.replay(asked, found)
    say(f"{records:,} records were read")
    if dead:
        complain(f"{dead:,} could not be taken in")
    return DONE


def _require_another_store(url: str, found: Settings) -> None:
    """Were the product's own database filled where it is empty, as after a loss, keys that were reserved before would
    be free again, and nobody would know. Raises StoreTaken."""
    for its_own in (found.database_url, found.redis_url):
        if _place(url) == _place(its_own):
            raise StoreTaken("the product itself works with that store: a replay needs one of its own")


def _place(url: str) -> tuple[str | None, int | None, str]:
    parts = urlsplit(url)
    port = parts.port or (6379 if parts.scheme.startswith("redis") else 5432)
    return parts.hostname, port, parts.path or "/0"


def _payments(asked: argparse.Namespace, found: Settings) -> Done:
    return _taken_in(asked, found, PAYMENTS, payments_into_file)


def _experiments(asked: argparse.Namespace, found: Settings) -> Done:
    return _taken_in(asked, found, EXPERIMENTS, experiments_into_file)


def _taken_in(
    asked: argparse.Namespace,
    found: Settings,
    kind: Kind,
    into_file: Callable[[Source, Plan, Path, int, Tell], int],
) -> Done:
    source = _source(asked, found, PAYMENTS_TOPIC)
    plan = uvloop.run(source.plan(asked_range(asked)))
    tell_seams(plan.topic, plan.seams)
    if asked.into is not None:
        plan = uvloop.run(prepare(kind, asked.into, plan))
        tell_stored(plan)
    processes = processes_for(plan.records, asked.processes)
    with progress("replayed", plan.records) as tell:
        if asked.into is not None:
            dead = into_postgres(kind, source, plan, asked.into, processes, tell)
        else:
            dead = into_file(source, plan, asked.file, processes, tell)
    return plan.records, dead


def _metrics(asked: argparse.Namespace, found: Settings) -> Done:
    source = _source(asked, found, found.metrics_stream_key)
    plan = uvloop.run(source.plan(asked_range(asked, source.topic)))
    tell_seams(plan.topic, plan.seams)
    plan = uvloop.run(last_hour(source, plan))
    processes = processes_for(plan.records, asked.processes)
    with progress("replayed", plan.records) as tell:
        if asked.into is not None:
            dead = metrics_into_redis(source, plan, asked.into, processes, tell)
        else:
            dead = metrics_into_file(source, plan, asked.file, processes, tell)
    return plan.records, dead


def _circuits(asked: argparse.Namespace, found: Settings) -> Done:
    source = _source(asked, found, CIRCUITS_TOPIC)
    plan = uvloop.run(source.plan(asked_range(asked, source.topic)))
    tell_seams(plan.topic, plan.seams)
    (part,) = plan.parts
    with progress("replayed", part.records) as tell:
        monitor = Monitor(telling(tell))
        if asked.into is not None:
            dead = uvloop.run(circuits_into_postgres(source, part.stop, asked.into, monitor))
        else:
            dead = uvloop.run(circuits_into_file(source, part.stop, asked.file, monitor))
    return part.records, dead


def _audit(asked: argparse.Namespace, found: Settings) -> Done:
    source = _source(asked, found, CONFIGURATION_TOPIC)
    plans = uvloop.run(planned(source, asked_range(asked, source.topic)))
    for _, plan in plans:
        tell_seams(plan.topic, plan.seams)
    if asked.into is not None:
        plans = uvloop.run(audit_left(plans, asked.into))
        for _, plan in plans:
            tell_stored(plan)
    records = sum(plan.records for _, plan in plans)
    with progress("replayed", records) as tell:
        monitor = Monitor(telling(tell))
        if asked.into is not None:
            dead = uvloop.run(audit_into_postgres(plans, asked.into, monitor))
        else:
            dead = uvloop.run(audit_into_file(plans, asked.file, monitor))
    return records, dead


def _source(asked: argparse.Namespace, found: Settings, topic: str) -> Source:
    return Source(bootstrap_servers=found.kafka_bootstrap_servers, topic=topic, cold=asked.cold)
