"""The contract documents: are they those of the code, and does anything break who relies on what was released last?

`python -m tests.contracts` checks that (as `./dev check` does), `… write` writes them, and `… release` makes what is
written what was released last.
"""

import sys
from collections.abc import Callable, Iterator, Mapping

import msgspec

from api.contract.asyncapi import asyncapi
from api.contract.openapi import openapi
from infra.local import ROOT
from schemas.json_schema import json_schema
from tests.contracts.compatibility import Json, breaks_of_asyncapi, breaks_of_events, breaks_of_openapi

WRITTEN = ROOT / "docs" / "schemas"
RELEASED = WRITTEN / "released"
DOCUMENTS: Mapping[str, tuple[Callable[[], Json], Callable[[Json, Json], Iterator[str]]]] = {
    "openapi": (openapi, breaks_of_openapi),
    "asyncapi": (asyncapi, breaks_of_asyncapi),
    "events": (json_schema, breaks_of_events),
}


def printed(name: str) -> str:
    make, _ = DOCUMENTS[name]
    return msgspec.json.format(msgspec.json.encode(make(), order="sorted"), indent=2).decode() + "\n"


def faults() -> Iterator[str]:
    for name, (_, breaks) in DOCUMENTS.items():
        if (WRITTEN / f"{name}.json").read_text() != printed(name):
            yield f"docs/schemas/{name}.json is not that of the code: python -m tests.contracts write"
        released = msgspec.json.decode((RELEASED / f"{name}.json").read_bytes())
        for line in breaks(released, msgspec.json.decode(printed(name))):
            yield f"{name}: {line}"


def main(arguments: list[str]) -> int:
    match arguments:
        case []:
            found = list(faults())
            sys.stdout.write("".join(f"{fault}\n" for fault in found) or "The contract is kept.\n")
            return 1 if found else 0
        case ["write"]:
            for name in DOCUMENTS:
                (WRITTEN / f"{name}.json").write_text(printed(name))
            return 0
        case ["release"]:
            for name in DOCUMENTS:
                (RELEASED / f"{name}.json").write_text((WRITTEN / f"{name}.json").read_text())
            return 0
        case _:
            sys.stderr.write(__doc__ or "")
            return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
