"""`verify`: is the live read model what the log says?"""

import argparse

import uvloop

from schemas.codec import PAYMENTS_TOPIC
from streams.command_line.asking import Subjects, add_json, add_processes, command, settings
from streams.command_line.printing import progress, say, say_json, say_table
from streams.replay.processes import processes_for
from streams.replay.source import Source
from streams.replay.verify import projected, verify

AGREES, DIFFERS = 0, 1


def add(subjects: Subjects) -> None:
    parser = command(
        subjects,
        "verify",
        _verify,
        "the live read model of payments against a fold of the log, row for row",
        "payments\npayments --json",
    )
    parser.add_argument("projection", choices=("payments",))
    add_processes(parser)
    add_json(parser)


def _verify(asked: argparse.Namespace) -> int:
    found = settings()
    source = Source(bootstrap_servers=found.kafka_bootstrap_servers, topic=PAYMENTS_TOPIC)
    plan = uvloop.run(projected(source, found.database_url))
    with progress("verified", plan.records) as tell:
        verified = verify(
            source, plan, found.database_url, processes_for(plan.records, asked.processes), tell
        )
    if asked.json:
        say_json(verified)
    else:
        say(
            f"{verified.payments:,} payments of {verified.records:,} records: {verified.differences:,} differences"
        )
        if verified.named:
            say_table(
                ("payment", "", "what differs"),
                [(one.payment_id, one.kind, ", ".join(one.fields)) for one in verified.named],
            )
    return AGREES if verified.agrees else DIFFERS
