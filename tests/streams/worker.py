"""A worker as it runs, in a process of its own that can be killed, and what its readiness says."""

import asyncio
import subprocess
import sys
import urllib.request
from collections.abc import Mapping, Sequence
from signal import Signals
from urllib.error import HTTPError, URLError

from infra.local import ROOT
from tests.waiting import HANGS_AFTER_S


class Worker:
    def __init__(self, module: Sequence[str], environment: Mapping[str, str], address: str) -> None:
        self._module = module
        self._environment = environment
        self._address = address
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        command = [sys.executable, "-m", *self._module]
        self._process = subprocess.Popen(command, cwd=ROOT, env=self._environment)

    def signal(self, number: Signals) -> int:
        assert self._process is not None
        self._process.send_signal(number)
        code = self._process.wait(HANGS_AFTER_S)
        self._process = None
        return code

    def close(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    async def becomes(self, status: int) -> None:
        async with asyncio.timeout(HANGS_AFTER_S):
            while True:
                if await asyncio.to_thread(self._readiness) == status:
                    return
                await asyncio.sleep(0.2)

    def _readiness(self) -> int:
        try:
            with urllib.request.urlopen(f"http://{self._address}/ops/readiness", timeout=2) as answer:
                return int(answer.status)
        except HTTPError as error:
            error.close()
            return error.code
        except (URLError, OSError):
            return 0
