"""`python -m infra.kafka topics`: makes the topics of `KAFKA_BOOTSTRAP_SERVERS` that are missing, checks the others."""

import asyncio
import os
import sys

from infra.kafka.topics import WrongTopic, make_topics
from infra.settings import Settings
from schemas.errors import LogUnavailable


def main(arguments: list[str]) -> None:
    if arguments != ["topics"]:
        raise SystemExit("usage: python -m infra.kafka topics")
    settings = Settings.from_environment(os.environ)
    try:
        made = asyncio.run(make_topics(settings))
    except (WrongTopic, LogUnavailable) as error:
        raise SystemExit(f"topics: {error}") from error
    sys.stdout.write(f"made {', '.join(made)}\n" if made else "nothing to make\n")


if __name__ == "__main__":
    main(sys.argv[1:])
