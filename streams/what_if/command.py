"""`python -m streams.cli what-if POLICY`: what another configuration would have come to."""

import argparse
import sys
from pathlib import Path

import msgspec
import uvloop

from schemas.codec import PAYMENTS_TOPIC, SHADOW_TOPIC
from schemas.routing_configuration import AlternativePolicy
from streams.command_line.asking import Subjects, add_cold, add_json, file, moment, names_of, settings
from streams.command_line.codes import DONE, WRONG
from streams.command_line.printing import complain, progress, say, say_json, tell_seams
from streams.replay.source import Source
from streams.what_if.evaluation import DIMENSIONS
from streams.what_if.plot import svg
from streams.what_if.question import Past, Question, ask, past
from streams.what_if.table import lines

POLICY = """\
POLICY is JSON in the words of the configuration's events; what it leaves out is as it was:
  {"weights": {"cost": 0.002}}
  {"bandits": {"*": {"enabled": true, "exploration_share": 0.05}}}
  {"rules": {"rules": [{"id": "big-to-beta", "when": {"minimum_amount_minor": 1000000},
                        "then": {"type": "prefer", "gateways": ["beta"]}}]}}
  {"retry_policies": {"*": {"max_attempts": 2}}}
docs/what-if.md says what is estimated, and when history cannot answer.
"""


def add(subjects: Subjects) -> None:
    parser = subjects.add_parser(
        "what-if",
        help="what another configuration of routing would have come to",
        description="Judges another configuration of routing on the payments of the past.",
        epilog=POLICY,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    judged = parser.add_mutually_exclusive_group(required=True)
    judged.add_argument("policy", nargs="?", type=Path, metavar="POLICY", help="a file; - for standard input")
    judged.add_argument("--shadow", action="store_true", help="judge what the shadow policy said, instead")
    for option, purpose in (("--from", "payments requested from then on"), ("--to", "and before then")):
        parser.add_argument(
            option,
            dest=f"{option[2:]}_",
            type=moment,
            metavar="MOMENT",
            help=f"{purpose}: 2026-11-25T09:00:00Z or 2h (two hours ago)",
        )
    parser.add_argument(
        "--by",
        type=names_of(DIMENSIONS),
        default=DIMENSIONS,
        metavar="DIMENSION,…",
        help=f"some of {','.join(DIMENSIONS)} (all of them)",
    )
    add_cold(parser)
    add_json(parser)
    parser.add_argument("--plot", type=file, metavar="FILE.svg", help="also draw the uplifts")
    parser.set_defaults(run=_what_if)


def _what_if(asked: argparse.Namespace) -> int:
    """History that cannot answer is an answer: 0."""
    try:
        policy = None if asked.shadow else _read(asked.policy)
    except (OSError, msgspec.DecodeError, UnicodeDecodeError) as error:
        complain(f"{asked.policy}: {error}")
        return WRONG
    payments = _past(PAYMENTS_TOPIC, asked)
    shadows = _past(SHADOW_TOPIC, asked) if asked.shadow else None
    question = Question(policy, asked.from_, asked.to_)
    with progress("read", payments.plan.records) as tell:
        found = uvloop.run(ask(question, payments, shadows, asked.by, tell))
    if asked.json:
        say_json(found)
    else:
        say("\n".join(lines(found)))
    if asked.plot is not None:
        asked.plot.write_text(svg(found))
    return DONE


def _read(policy: Path) -> AlternativePolicy:
    text = sys.stdin.buffer.read() if str(policy) == "-" else policy.read_bytes()
    return msgspec.json.decode(text, type=AlternativePolicy)


def _past(topic: str, asked: argparse.Namespace) -> Past:
    source = Source(bootstrap_servers=settings().kafka_bootstrap_servers, topic=topic, cold=asked.cold)
    found = uvloop.run(past(source, asked.from_))
    tell_seams(topic, found.plan.seams)
    return found
