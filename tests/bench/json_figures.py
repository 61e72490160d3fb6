"""Where a benchmark's figures go as JSON: to a file of its own, to another one, or to standard output alone."""

import argparse
import sys
from pathlib import Path

import msgspec

from infra.local import LOCAL

STDOUT = Path("-")


def add_json_option(parser: argparse.ArgumentParser, name: str) -> None:
    parser.add_argument(
        "--json",
        type=Path,
        metavar="FILE",
        nargs="?",
        const=STDOUT,
        default=LOCAL / "bench" / f"{name}.json",
        help="without a file: to standard output, and nothing else there",
    )


def write_json(figures: msgspec.Struct, file: Path) -> None:
    content = msgspec.json.format(msgspec.json.encode(figures), indent=2) + b"\n"
    if file == STDOUT:
        sys.stdout.buffer.write(content)
        return
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content)
