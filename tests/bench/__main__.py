"""`python -m tests.bench NAME`: a subcommand is a module of this package with `add_arguments` and `run`."""

import argparse
import sys
from importlib import import_module

USUAL = "figures"
SUBCOMMANDS = {
    "figures": "start the whole product here, measure it, and check that nothing was lost or doubled (the usual one)",
    "recovery": "kill the worker, the API, Kafka and Postgres under load, and time the way back",
    "outage": "break the gateway with the most traffic, and time how soon it is left and taken again",
    "claims": "time a verifier's claims behind short and long backlogs",
    "settle": "time how soon payments in doubt are settled: told, polled, after a kill, and given back",
    "backlog": "let one verifier, then two, work behind a hundred thousand due payments",
    "redis-loss": "FLUSHALL under load, with a short history and an hour of it: what fails, and how soon all is back",
    "metrics": "how fast hot metrics are kept, how soon they are published, and how soon they are back",
    "routing": "play hours with outages through our routing, beside the policies of others; needs no servers",
    "experiments": "simulate thousands of experiments through assignment, results and guardrails; needs no servers",
    "what-if": "judge other policies on simulated hours, and compare with the truth; needs no servers",
    "limits": "how exact the rate limit is over two processes, and what it costs a request",
    "results": "how soon results of a million customers are answered, and how fast payments become figures",
    "webhooks": "tell a hundred endpoints, some of which hang or fail: how soon the healthy ones hear of an event",
    "replay": "read a million events again: raw, through the folds, into Postgres, into files",
    "rebuild": "make a million payments' rows anew while 300 a second arrive, switch, and go back: what others notice",
    "load": "post payments to a running service, in a closed loop or at a fixed rate",
}


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.bench", description="Measures the payment gateway."
    )
    subparsers = parser.add_subparsers(required=True, metavar="NAME")
    for name, purpose in SUBCOMMANDS.items():
        module = import_module(f"tests.bench.{name.replace('-', '_')}")
        subparser = subparsers.add_parser(name, help=purpose, description=purpose)
        module.add_arguments(subparser)
        subparser.set_defaults(run=module.run)
    args = parser.parse_args(sys.argv[1:] or [USUAL])
    code: int = args.run(args)
    return code


if __name__ == "__main__":
    sys.exit(main())
