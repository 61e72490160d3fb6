"""`python -m streams.cli experiment calc NAME`: options from a request's fields, JSON out, or a batch line by line."""

import argparse
import os
import re
import sys
from collections.abc import Iterator, Sequence
from typing import Any, BinaryIO, Literal, get_args, get_origin, get_type_hints

import msgspec

from schemas.base import Value
from schemas.experiment import BucketRange
from streams.calculator.answers import answer
from streams.calculator.glossary import EXAMPLES, explained
from streams.calculator.requests import KINDS, AnyRequest, Request
from streams.command_line.codes import WRONG

LONGEST_LINE = 16 * 2**20
"""Bytes: what a batch holds in memory at once."""
COMMAND = "python -m streams.cli experiment calc"
DOCUMENTATION = "docs/experiments.md has the formulas and their sources."

_decoder = msgspec.json.Decoder(AnyRequest)


class Refusal(Value, frozen=True, kw_only=True):
    error: str
    field: str | None


def add_calculations(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--batch",
        action="store_true",
        help="read one JSON request a line from standard input, such as "
        '{"calculate": "wilson", "successes": 9, "trials": 10}, and answer one line each; '
        "a bad or empty one is answered by {error, field}, and the batch goes on",
    )
    parser.set_defaults(run=run_calculation, parser=parser, calculate=None)
    kinds = parser.add_subparsers(metavar="CALCULATION", parser_class=_Options)
    for name, kind in KINDS.items():
        purpose = (kind.__doc__ or "").strip()
        added = kinds.add_parser(
            name,
            help=purpose,
            description=purpose,
            epilog=f"for example:\n  {COMMAND} {name} {EXAMPLES[name]}\n\n"
            f"the answer, in JSON: {explained(name)}\n\n{DOCUMENTATION}",
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        for field in msgspec.structs.fields(kind):
            _add_option(added, kind, field)
        added.set_defaults(calculate=name)


def run_calculation(asked: argparse.Namespace) -> int:
    """2 where something asked for cannot be understood; a batch says so in its lines, and comes to 0."""
    if asked.batch and asked.calculate is None:
        return _answer_all()
    if asked.batch or asked.calculate is None:
        asked.parser.print_usage(sys.stderr)
        sys.stderr.write("name a calculation, or give --batch\n")
        return WRONG
    try:
        given = {
            field.name: getattr(asked, field.name)
            for field in msgspec.structs.fields(KINDS[asked.calculate])
            if getattr(asked, field.name) is not None
        }
        request = msgspec.convert({"calculate": asked.calculate, **given}, AnyRequest, strict=False)
        found = answer(request)
    except ValueError as error:
        sys.stderr.write(_said(_refusal(error)) + "\n")
        return WRONG
    sys.stdout.write(msgspec.json.format(msgspec.json.encode(found), indent=2).decode() + "\n")
    return 0


def _answer_all() -> int:
    try:
        for line in answered(sys.stdin.buffer):
            sys.stdout.buffer.write(line + b"\n")
            sys.stdout.buffer.flush()
    except BrokenPipeError:  # whoever reads has enough; what is still buffered goes nowhere
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


def answered(requests: BinaryIO) -> Iterator[bytes]:
    """One line of JSON for each, also for an empty one, so that answers can be told by their number."""
    while line := requests.readline(LONGEST_LINE):
        if len(line) == LONGEST_LINE and not line.endswith(b"\n"):
            _pass_over_the_rest(requests)
            found: Value = Refusal(error=f"Expected at most {LONGEST_LINE:,} bytes", field=None)
        else:
            found = _answered(line)
        yield msgspec.json.encode(found)


def _pass_over_the_rest(requests: BinaryIO) -> None:
    while (part := requests.readline(LONGEST_LINE)) and not part.endswith(b"\n"):
        pass


def _answered(line: bytes) -> Value:
    if not line.strip():
        return Refusal(error="Expected `object`, got an empty line", field=None)
    try:
        return answer(_decoder.decode(line))
    except RecursionError:
        return Refusal(error="Nested too deeply", field=None)
    except ValueError as error:
        return _refusal(error)


def _refusal(error: ValueError) -> Refusal:
    """The field is where msgspec, and the requests' own checks, say that it is."""
    if isinstance(error, UnicodeError):
        return Refusal(error="Expected UTF-8 text", field=None)
    message, _, path = str(error).partition(" - at `")
    named = re.search(r" field `(\w+)`", message)
    field = path.rstrip("`").removeprefix("$").removeprefix(".") or (named and named[1])
    return Refusal(error=message, field=field or None)


def _said(refusal: Refusal) -> str:
    return f"{refusal.field}: {refusal.error}" if refusal.field else refusal.error


def _add_option(
    parser: argparse.ArgumentParser, kind: type[Request], field: msgspec.structs.FieldInfo
) -> None:
    hint = get_type_hints(kind, include_extras=True)[field.name]
    description = described(hint)
    default = (
        " (required)" if field.required else "" if field.default is None else f" (default: {field.default})"
    )
    option: dict[str, Any] = {"dest": field.name, "help": f"{description}{default}"}
    match _shape(hint):
        case "text":
            parser.add_argument(_flag(field), metavar=field.name.upper(), **option)
        case "mapping":
            parser.add_argument(_flag(field), nargs="+", action=_Pairs, metavar="NAME=NUMBER", **option)
        case "ranges":
            parser.add_argument(_flag(field), nargs="+", action=_Ranges, metavar="NAME=FIRST-END", **option)
        case "several":
            parser.add_argument(_flag(field), nargs="+", type=_numeral, metavar="NUMBER", **option)
        case _:
            parser.add_argument(_flag(field), type=_numeral, metavar=field.name.upper(), **option)


class _Options(argparse.ArgumentParser):
    """That takes -1e-2 for a number, and not for an option."""

    def parse_known_args(  # type: ignore[override]
        self, args: Sequence[str] | None = None, namespace: argparse.Namespace | None = None
    ) -> tuple[argparse.Namespace, list[str]]:
        spaced = [f" {one}" if re.match(r"-\.?\d", one) else one for one in args or ()]
        return super().parse_known_args(spaced, namespace)


class _Pairs(argparse.Action):
    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: str | Sequence[Any] | None,
        option_string: str | None = None,
    ) -> None:
        pairs = [str(one).partition("=") for one in values or ()]
        setattr(namespace, self.dest, {name: number for name, _, number in pairs})


class _Ranges(argparse.Action):
    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: str | Sequence[Any] | None,
        option_string: str | None = None,
    ) -> None:
        named = [str(one).partition("=") for one in values or ()]
        edges = [(name, *between.partition("-")) for name, _, between in named]
        ranges = [{"variant": name, "first": first, "end": end} for name, first, _, end in edges]
        setattr(namespace, self.dest, ranges)


def _flag(field: msgspec.structs.FieldInfo) -> str:
    return "--" + field.name.replace("_", "-")


def _numeral(text: str) -> str:
    """As JSON wants it: 0.5 for .5."""
    return re.sub(r"^(-?)\.", r"\g<1>0.", text.strip())


def described(hint: Any) -> str:
    """Of the outermost annotation that has one."""
    for part in (hint, *get_args(hint)):
        for extra in getattr(part, "__metadata__", ()):
            if isinstance(extra, msgspec.Meta) and extra.description:
                return extra.description
    return ""


def _shape(hint: Any) -> str:
    while hasattr(hint, "__metadata__") or type(None) in get_args(hint):
        hint = get_args(hint)[0]
    if hint == list[BucketRange]:
        return "ranges"
    if hint is str or get_origin(hint) is Literal:
        return "text"
    origin = get_origin(hint)
    return "mapping" if origin is dict else "several" if origin in (list, tuple) else "number"
