"""`dead-letters`: what no projection could take in."""

import argparse
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing

import uvloop

from streams.command_line.asking import Subjects, add_json, command, moment, settings
from streams.command_line.codes import DONE, NOT_DONE, NOT_FOUND
from streams.command_line.printing import complain, say, say_json, say_json_lines, say_table
from streams.replay.letters import Letter, letter, letter_box, letters, retry

IN_A_TABLE = 1_000
"""Letters, which are all that is held at a time."""


def add(subjects: Subjects) -> None:
    parser = command(
        subjects,
        "dead-letters",
        lambda _: 2,
        "records that no projection could take in, and why",
        "list --from 24h\nlist --reader projections-v1 --json\nshow 17\nretry 17",
    )
    verbs = parser.add_subparsers(required=True, metavar="list|show|retry")
    listing = verbs.add_parser("list", help="all of them, the oldest first")
    listing.add_argument("--from", dest="since", type=moment, metavar="MOMENT", help="told then or later")
    listing.add_argument("--reader", help="of this consumer group only")
    add_json(listing)
    listing.set_defaults(run=_list)
    showing = verbs.add_parser("show", help="one of them, whole")
    showing.add_argument("number", type=int)
    showing.set_defaults(run=_show)
    trying = verbs.add_parser(
        "retry", help="fold the payment that it is about again, with all of its records"
    )
    trying.add_argument("number", type=int)
    trying.set_defaults(run=_retry)


def _list(asked: argparse.Namespace) -> int:
    uvloop.run(tell(letters(letter_box(settings()), asked.since), asked.reader, asked.json))
    return DONE


async def tell(found: AsyncGenerator[Letter, None], reader: str | None, as_json: bool) -> None:
    """As they are read, since there may be any number of them."""
    say_some = say_json_lines if as_json else _say_table
    some: list[Letter] = []
    async with aclosing(found):
        async for one in found:
            if reader in (None, one.reader):
                some.append(one)
            if len(some) == IN_A_TABLE:
                say_some(some)
                some = []
    say_some(some)


def _say_table(found: Sequence[Letter]) -> None:
    say_table(
        ("number", "told", "reader", "record", "key", "reason"),
        [
            (
                one.number,
                f"{one.stamp:%Y-%m-%d %H:%M:%S}",
                one.reader,
                f"{one.position.topic}-{one.position.partition}:{one.position.offset}",
                one.key,
                one.reason,
            )
            for one in found
        ],
    )


def _show(asked: argparse.Namespace) -> int:
    if (found := uvloop.run(letter(letter_box(settings()), asked.number))) is None:
        return _unknown(asked.number)
    say_json(found)
    return DONE


def _retry(asked: argparse.Namespace) -> int:
    if (found := uvloop.run(letter(letter_box(settings()), asked.number))) is None:
        return _unknown(asked.number)
    came_to, why = uvloop.run(retry(settings(), found))
    say(f"{came_to}: {why}" if why else came_to)
    return DONE if came_to == "taken in" else NOT_DONE


def _unknown(number: int) -> int:
    complain(f"there is no dead letter {number}")
    return NOT_FOUND
