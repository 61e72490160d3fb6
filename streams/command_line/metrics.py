"""`metrics`: what gateways came to, from the log itself."""

import argparse

import uvloop

from streams.command_line.asking import (
    Subjects,
    add_cold,
    add_json,
    add_processes,
    command,
    moment,
    names_of,
    settings,
)
from streams.command_line.codes import DONE
from streams.command_line.printing import complain, progress, say_json_lines, say_table, tell_seams
from streams.replay.metrics import BY, Question, asked_of, metrics
from streams.replay.processes import processes_for
from streams.replay.source import Source


def add(subjects: Subjects) -> None:
    parser = command(
        subjects,
        "metrics",
        _metrics,
        "success rates, latencies and errors of gateways, from the log itself, by the tallies that are live",
        "--from 24h\n--from 2026-11-23 --to 2026-11-24 --by hour,gateway\n--by gateway,method,issuer --json",
    )
    parser.add_argument(
        "--from", dest="since", type=moment, metavar="MOMENT", help="of attempts that started then or later"
    )
    parser.add_argument(
        "--to", dest="until", type=moment, metavar="MOMENT", help="of attempts that started before"
    )
    parser.add_argument(
        "--by",
        type=names_of(BY),
        default=("gateway", "method"),
        metavar="NAME,NAME",
        help=f"of {', '.join(BY)} (default: gateway,method)",
    )
    add_cold(parser)
    add_processes(parser)
    add_json(parser)


def _metrics(asked: argparse.Namespace) -> int:
    found = settings()
    source = Source(
        bootstrap_servers=found.kafka_bootstrap_servers, topic=found.metrics_stream_key, cold=asked.cold
    )
    question = Question(by=asked.by, since=asked.since, until=asked.until)
    plan = uvloop.run(source.plan(asked_of(question, source.topic)))
    tell_seams(plan.topic, plan.seams)
    with progress("counted", plan.records) as tell:
        rows, unreadable = metrics(source, plan, question, processes_for(plan.records, asked.processes), tell)
    if unreadable:
        complain(f"{unreadable:,} records could not be read")
    if asked.json:
        say_json_lines(rows)
        return DONE
    say_table(
        (
            *asked.by,
            "attempts",
            "succeeded",
            "rate",
            "from",
            "to",
            "faults",
            "in doubt",
            "p50 ms",
            "p95 ms",
            "p99 ms",
        ),
        [
            (
                *row.by.values(),
                row.figures.attempts,
                row.figures.succeeded,
                row.figures.success_rate,
                row.figures.success_rate_low,
                row.figures.success_rate_high,
                row.figures.gateway_faults,
                row.figures.in_doubt,
                row.figures.latency_ms_p50,
                row.figures.latency_ms_p95,
                row.figures.latency_ms_p99,
            )
            for row in rows
        ],
    )
    return DONE
