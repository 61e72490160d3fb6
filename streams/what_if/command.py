"""`python -m streams.cli what-if POLICY`: what another configuration would have come to."""

import argparse
import os
import sys
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import uvloop

from infra.settings import Settings
from infra.telemetry import configure_logging
from schemas.errors import LogUnavailable
from schemas.routing_configuration import AlternativePolicy
from streams.what_if.evaluation import DIMENSIONS, Dimension
from streams.what_if.plot import svg
from streams.what_if.question import ask
from streams.what_if.table import lines

DONE, NOT_DONE, WRONG = 0, 1, 2
POLICY = """\
POLICY is JSON in the words of the configuration's events; what it leaves out is as it was:
  {"weights": {"cost": 0.002}}
  {"bandits": {"*": {"enabled": true, "exploration_share": 0.05}}}
  {"rules": {"rules": [{"id": "big-to-beta", "when": {"minimum_amount_minor": 1000000},
                        "then": {"type": "prefer", "gateways": ["beta"]}}]}}
  {"retry_policies": {"*": {"max_attempts": 2}}}
docs/what-if.md says what is estimated, and when history cannot answer.
"""


def add_what_if(parser: argparse.ArgumentParser) -> None:
    parser.description = "Judges another configuration of routing on the payments of the past."
    parser.epilog, parser.formatter_class = POLICY, argparse.RawDescriptionHelpFormatter
    judged = parser.add_mutually_exclusive_group(required=True)
    judged.add_argument("policy", nargs="?", type=Path, metavar="POLICY", help="a file; - for standard input")
    judged.add_argument("--shadow", action="store_true", help="judge what the shadow policy said, instead")
    for option, purpose in (("--from", "payments requested from then on"), ("--to", "and before then")):
        parser.add_argument(
            option, dest=f"{option[2:]}_", type=_time, metavar="TIME", help=f"{purpose}: 2026-11-25T09:00:00Z"
        )
    parser.add_argument(
        "--by",
        type=_dimensions,
        default=DIMENSIONS,
        metavar="DIMENSION,…",
        help=f"some of {','.join(DIMENSIONS)} (all of them)",
    )
    parser.add_argument("--json", action="store_true", help="all figures, instead of a table")
    parser.add_argument("--plot", type=Path, metavar="FILE.svg", help="also draw the uplifts")
    parser.set_defaults(run=run_what_if)


def run_what_if(asked: argparse.Namespace) -> int:
    """History that cannot answer is an answer: 0."""
    try:
        policy = None if asked.shadow else _read(asked.policy)
    except (OSError, msgspec.DecodeError, UnicodeDecodeError) as error:
        sys.stderr.write(f"{asked.policy}: {error}\n")
        return WRONG
    settings = Settings.from_environment(os.environ)
    configure_logging(settings)
    try:
        found = uvloop.run(ask(settings, policy, asked.from_, asked.to_, asked.by, _tell))
    except LogUnavailable as error:
        sys.stderr.write(f"not answered: {error}\n")
        return NOT_DONE
    if asked.plot is not None:
        asked.plot.write_text(svg(found))
    if asked.json:
        sys.stdout.write(msgspec.json.format(msgspec.json.encode(found), indent=2).decode() + "\n")
    else:
        sys.stdout.write("\n".join(lines(found)) + "\n")
    return DONE


def _read(file: Path) -> AlternativePolicy:
    text = sys.stdin.buffer.read() if str(file) == "-" else file.read_bytes()
    return msgspec.json.decode(text, type=AlternativePolicy)


def _tell(line: str) -> None:
    if sys.stderr.isatty():
        sys.stderr.write(f"{line}\n")


def _time(text: str) -> datetime:
    """RFC 3339; without a zone it is UTC."""
    found = datetime.fromisoformat(text)
    return found if found.tzinfo is not None else found.replace(tzinfo=UTC)


def _dimensions(text: str) -> tuple[Dimension, ...]:
    return msgspec.convert(text.split(","), tuple[Dimension, ...])
