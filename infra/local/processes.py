"""Our own programs as children: services, which run until they are stopped, and commands, which end."""

import asyncio
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import aiohttp

from infra.local import ROOT, LocalError
from infra.local.child import Child, last_lines

PING_SECONDS = 2.0
COMMAND_SECONDS = 120.0
SHOWN_CHARACTERS = 2_000


class Service(Child):
    """`python -m MODULE...` with its own log; ready when its URL answers with a 2xx."""

    def __init__(
        self, name: str, module: Sequence[str], folder: Path, *, env: Mapping[str, str], url: str, ready: str
    ) -> None:
        super().__init__(name, folder)
        self._module = list(module)
        self._env = dict(env)
        self._url = url.rstrip("/")
        self._ready = ready

    @property
    def url(self) -> str:
        return self._url

    def command(self) -> list[str]:
        return python(self._module)

    def working_directory(self) -> Path:
        return ROOT

    def environment(self) -> dict[str, str]:
        return surroundings(self._env)

    async def ping(self) -> None:
        limit = aiohttp.ClientTimeout(total=PING_SECONDS)
        async with (
            aiohttp.ClientSession(timeout=limit) as client,
            client.get(self._url + self._ready) as answer,
        ):
            if not answer.ok:
                raise NotOkError(answer.status, await answer.text())


class NotOkError(LocalError):
    """What it answered, so that the reason is shown where somebody gave up waiting."""

    def __init__(self, status: int, body: str) -> None:
        super().__init__(f"{status} {body[:SHOWN_CHARACTERS]}")


class CommandFailedError(LocalError):
    """The message names the log and shows its last lines."""


async def finish(module: Sequence[str], *, env: Mapping[str, str], log: Path) -> None:
    """Runs `python -m MODULE...` to its end, within two minutes."""
    words = python(module)
    with log.open("ab") as output:
        process = await asyncio.create_subprocess_exec(
            *words,
            cwd=ROOT,
            env=surroundings(env),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )
    try:
        async with asyncio.timeout(COMMAND_SECONDS):
            code = await process.wait()
    except BaseException:
        process.kill()
        await process.wait()
        raise
    if code:
        raise CommandFailedError(
            f"{' '.join(words[1:])} ended with {code}; its log is {log}\n{last_lines(log)}"
        )


def python(module: Sequence[str]) -> list[str]:
    return [sys.executable, "-m", *module]


def surroundings(env: Mapping[str, str]) -> dict[str, str]:
    """Ours, and theirs on top; logs are written as they happen, so that a killed process has said it all."""
    return {**os.environ, "PYTHONUNBUFFERED": "1", **env}
