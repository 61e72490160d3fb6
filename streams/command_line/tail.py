"""`tail`: records as they come."""

import argparse

import uvloop

from infra.kafka.topics import TOPICS
from schemas.codec import PAYMENTS_TOPIC
from streams.command_line.asking import Subjects, add_json, command, moment, settings
from streams.command_line.printing import say, say_json_lines
from streams.replay.watching import Wanted, watch


def add(subjects: Subjects) -> None:
    parser = command(
        subjects,
        "tail",
        _tail,
        "records as they come, of one topic or several, until Ctrl-C",
        "--type PaymentFailed --type AttemptInDoubt\n--merchant m_001 --from 15m\n"
        "circuits.events.v1 reliability.events.v1 --json",
    )
    parser.add_argument(
        "topics",
        nargs="*",
        metavar="TOPIC",
        help=f"of {', '.join(topic.name for topic in TOPICS)} (default: {PAYMENTS_TOPIC})",
    )
    parser.add_argument("--from", dest="since", type=moment, metavar="MOMENT", help="(default: now)")
    parser.add_argument("--key", action="append", default=[], help="of this payment, circuit, experiment, …")
    parser.add_argument("--type", action="append", default=[], help="events of this name")
    parser.add_argument(
        "--merchant", action="append", default=[], help="payments that this merchant asked for since then"
    )
    add_json(parser)


def _tail(asked: argparse.Namespace) -> int:
    uvloop.run(_show(asked))
    raise AssertionError("it has no end")


async def _show(asked: argparse.Namespace) -> None:
    wanted = Wanted(
        keys=frozenset(asked.key), types=frozenset(asked.type), merchants=frozenset(asked.merchant)
    )
    servers = settings().kafka_bootstrap_servers
    async for seen in watch(servers, asked.topics or [PAYMENTS_TOPIC], asked.since, wanted):
        if asked.json:
            say_json_lines([seen])
        else:
            void = "VOID " if seen.is_void else ""
            place = f"{seen.topic}-{seen.partition}:{seen.offset}"
            say(f"{seen.stamp:%H:%M:%S.%f} {place} {seen.key} {void}{seen.type} {seen.what}")
