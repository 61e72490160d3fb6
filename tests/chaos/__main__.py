"""`./dev chaos`: the whole product under load while its processes and servers are killed, stopped and restarted."""

import argparse
import asyncio
import logging
import sys
from pathlib import Path

import msgspec

from infra.local import LOCAL, LocalError
from infra.local.terminal import say
from tests.chaos.run import Chaos, Result, unleash

STORIES_TOLD = 5


def main() -> int:
    args = _arguments()
    chaos = Chaos(seed=args.seed, seconds=args.minutes * 60, per_second=args.rate)
    # It reports every attempt to reach a broker that we have killed.
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    try:
        result = asyncio.run(unleash(chaos, LOCAL / "chaos", say))
    except LocalError as error:
        print(f"\n{error}", file=sys.stderr)
        return 1
    _tell(result)
    if args.json:
        _write(args.json, result)
    return 1 if result.violations else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="./dev chaos", description=__doc__)
    parser.add_argument("--seed", type=int, default=1, help="of faults, customers and disasters (default: 1)")
    parser.add_argument("--minutes", type=float, default=5.0, help="of load and disasters (default: 5)")
    parser.add_argument("--rate", type=float, default=30.0, help="new customers a second (default: 30)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the figures there")
    return parser.parse_args()


def _tell(result: Result) -> None:
    print()
    for name, value in result.figures.items():
        if isinstance(value, dict):
            print(f"{name}: " + (", ".join(f"{key} {number}" for key, number in value.items()) or "none"))
        else:
            print(f"{name}: {value}")
    print(f"violations: {len(result.violations)} (seed {result.chaos.seed})")
    for violation in result.violations[:STORIES_TOLD]:
        print(f"\n{violation}")


def _write(file: Path, result: Result) -> None:
    content = {"chaos": result.chaos, **result.figures, "violations": [str(one) for one in result.violations]}
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(msgspec.json.format(msgspec.json.encode(content), indent=2) + b"\n")


if __name__ == "__main__":
    sys.exit(main())
