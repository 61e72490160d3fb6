"""What several commands ask for: a range of the log, a moment, a payment."""

import argparse
import os
from collections.abc import Callable, Collection
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from infra.clock import SystemClock
from infra.settings import Settings
from infra.telemetry import configure_logging
from schemas.codec import PAYMENTS_TOPIC
from schemas.ids import PaymentId, is_payment_id
from streams.replay.plan import Asked

Subjects = Any  # argparse has no public name for what `add_subparsers` returns
Run = Callable[[argparse.Namespace], int]

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


def command(subjects: Subjects, name: str, run: Run, purpose: str, examples: str) -> argparse.ArgumentParser:
    """Its help ends with examples that can be typed as they stand."""
    parser: argparse.ArgumentParser = subjects.add_parser(
        name, help=purpose, description=purpose, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    typed = "\n".join(f"  {parser.prog} {line}" for line in examples.split("\n"))
    parser.epilog = f"for example:\n{typed}"
    parser.set_defaults(run=run)
    return parser


def settings() -> Settings:
    found = Settings.from_environment(os.environ)
    configure_logging(found)
    return found


def moment(text: str) -> datetime:
    """An instant as RFC 3339, a day (its beginning, UTC), or how long ago: `15m`, `2h`, `7d`."""
    try:
        if text[:-1].isdecimal() and text[-1:] in _UNITS:
            return SystemClock().now() - timedelta(seconds=int(text[:-1]) * _UNITS[text[-1]])
        found = datetime.fromisoformat(text)
    except (ValueError, OverflowError) as error:
        raise argparse.ArgumentTypeError(
            f"{text} is no moment: 2026-11-23, 2026-11-23T09:30:00Z or 2h (two hours ago) would be"
        ) from error
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def payment(text: str) -> PaymentId:
    if not is_payment_id(text):
        raise argparse.ArgumentTypeError(f"{text} is no payment id")
    return PaymentId(text)


def offset(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text} is no offset: 0 or 120000 would be")
    return int(text)


def file(text: str) -> Path:
    """To be written."""
    path = Path(text)
    if path.is_dir() or not path.parent.is_dir():
        raise argparse.ArgumentTypeError(f"{text} is no file in a folder that there is")
    return path


def folder(text: str) -> Path:
    """To be made, if there is none."""
    path = Path(text)
    if path.exists() and not path.is_dir():
        raise argparse.ArgumentTypeError(f"{text} is no folder")
    return path


def names_of(known: Collection[str]) -> Callable[[str], tuple[str, ...]]:
    """Some of them, each once, with commas between them."""

    def names(text: str) -> tuple[str, ...]:
        found = tuple(text.split(","))
        if unknown := [name for name in found if name not in known]:
            raise argparse.ArgumentTypeError(f"{unknown[0]} is none of {', '.join(known)}")
        if len(set(found)) < len(found):
            raise argparse.ArgumentTypeError(f"{text} has a name twice")
        return found

    return names


def partitions(text: str) -> frozenset[int]:
    try:
        return frozenset(int(number) for number in text.split(","))
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text} is no list of partitions: 0,5,11 would be") from error


def add_json(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="JSON instead of text for people")


def add_range(parser: argparse.ArgumentParser) -> None:
    """All that there is, unless something narrower is asked for. A moment is one of the broker's stamps."""
    begin = parser.add_mutually_exclusive_group()
    begin.add_argument(
        "--from", dest="since", type=moment, metavar="MOMENT", help="what was appended then or later"
    )
    begin.add_argument("--from-offset", type=offset, metavar="N", help="of each partition")
    begin.add_argument(
        "--from-earliest",
        action="store_true",
        help="whatever the log still has, where retention took the rest",
    )
    end = parser.add_mutually_exclusive_group()
    end.add_argument(
        "--to", dest="until", type=moment, metavar="MOMENT", help="what was appended before (default: now)"
    )
    end.add_argument("--to-offset", type=offset, metavar="N", help="of each partition, without it")
    parser.add_argument("--partitions", type=partitions, metavar="N,N", help="only these")


def add_cold(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--cold",
        metavar="FOLDER",
        help="an export that has what the topic may have lost: both are read as one",
    )


def add_processes(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--processes", type=int, metavar="N", help="at most so many at once (default: one for each core)"
    )


def asked_range(asked: argparse.Namespace, topic: str = PAYMENTS_TOPIC) -> Asked:
    since = next((edge for edge in (asked.since, asked.from_offset) if edge is not None), 0)
    until = next((edge for edge in (asked.until, asked.to_offset) if edge is not None), None)
    return Asked(
        topic=topic,
        since="earliest" if asked.from_earliest else since,
        until=until,
        partitions=asked.partitions,
    )
