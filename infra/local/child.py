"""A process that we start, recognise later, signal together with all it has started, and end.

Each leaves a pid file, so that what a crashed run left behind is found again, and nobody else's process
is touched.
"""

import asyncio
import json
import os
import signal
import subprocess
import time
from abc import ABC, abstractmethod
from contextlib import suppress
from pathlib import Path

from infra.local import LocalError, proc

READY_SECONDS = 180.0
"""An API that meets an unknown Postgres first waits until nobody can write who was forgotten: a minute and a half."""
STOP_SECONDS = 40.0
"""Longer than the API takes to finish the payments it has begun."""
KILL_SECONDS = 10.0
POLL_SECONDS = 0.05
LOG_BYTES_MAX = 20 * 1024 * 1024


class NotReadyError(LocalError):
    """It ended, or did not answer in time. The message names the log and shows its last lines."""

    def __init__(self, child: "Child", why: str) -> None:
        super().__init__(f"{child.name} {why}; its log is {child.log}\n{last_lines(child.log)}")


class Child(ABC):
    """One process. Its file names begin with its name, in the folder it is given."""

    stop_signal = signal.SIGTERM

    def __init__(self, name: str, folder: Path) -> None:
        self.name = name
        self.folder = folder
        self.log = folder / f"{name}.log"
        self._pid_file = folder / f"{name}.pid"
        self._process: subprocess.Popen[bytes] | None = None

    @property
    @abstractmethod
    def url(self) -> str:
        """Where it answers."""

    @abstractmethod
    def command(self) -> list[str]:
        """The program and its arguments."""

    @abstractmethod
    async def ping(self) -> None:
        """Raises anything at all while it is not ready."""

    def working_directory(self) -> Path:
        return self.folder

    def environment(self) -> dict[str, str]:
        return dict(os.environ)

    def prepare(self) -> None:  # noqa: B027  # most have nothing to prepare
        """What must exist before each start. Blocking; runs in a thread."""

    @property
    def pid(self) -> int | None:
        """None when it does not run, also when its number now belongs to somebody else."""
        if self._process is not None:
            self._process.poll()
        return recorded_pid(self._pid_file)

    @property
    def running(self) -> bool:
        return self.pid is not None

    async def start(self) -> None:
        """Does nothing if it already runs here; a leftover on another address is replaced.

        Call it from the main thread: the kernel ends the child with the *thread* that started it.
        """
        if self.running:
            if _record(self._pid_file).get("url") == self.url:
                return
            await self.stop()
        self.folder.mkdir(parents=True, exist_ok=True)
        await asyncio.to_thread(self.prepare)
        self._launch()

    def _launch(self) -> None:
        if self.log.exists() and self.log.stat().st_size > LOG_BYTES_MAX:
            self.log.replace(self.log.with_suffix(".log.1"))
        # Should we be killed, the kernel ends the child too. A session of its own keeps it from the
        # terminal's Ctrl-C, so that we choose the order in which things stop.
        command = ["setpriv", "--pdeathsig", "KILL", *self.command()]
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                command,
                cwd=self.working_directory(),
                env=self.environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        pid = self._process.pid
        record = {"pid": pid, "identity": proc.identity(pid), "url": self.url, "command": command}
        self._pid_file.write_text(json.dumps(record))

    async def wait_ready(self, seconds: float = READY_SECONDS) -> None:
        reason = "nothing came back"
        try:
            async with asyncio.timeout(seconds):
                while self.running:
                    try:
                        return await self.ping()
                    except Exception as error:  # whatever it is, it means "not yet", until the time is up
                        reason = f"{type(error).__name__}: {error}"
                    await asyncio.sleep(POLL_SECONDS)
        except TimeoutError:
            raise NotReadyError(self, f"was not ready after {seconds:.0f} s ({reason})") from None
        raise NotReadyError(self, "ended before it was ready")

    async def stop(self, seconds: float = STOP_SECONDS) -> None:
        """Asks it to end, and kills what is left of it after that many seconds."""
        self.resume()  # a paused process does not hear
        if pid := self.pid:
            with suppress(ProcessLookupError):
                os.kill(pid, self.stop_signal)
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while self.running:  # noqa: ASYNC110  # the kernel has no event for another process's child
                    await asyncio.sleep(POLL_SECONDS)
        self.kill()

    def kill(self) -> None:
        """SIGKILL to it and to all it has started; returns when they are gone."""
        family = self._signal(signal.SIGKILL)
        give_up_at = time.monotonic() + KILL_SECONDS
        while any(proc.identity(pid) for pid in family) and time.monotonic() < give_up_at:
            time.sleep(0.005)
        self._forget()

    def pause(self) -> None:
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        self._signal(signal.SIGCONT)

    async def restart(self, seconds: float = READY_SECONDS) -> None:
        await self.stop()
        await self.start()
        await self.wait_ready(seconds)

    def cpu_seconds(self) -> float:
        """Of it and of what it has running now, since each started."""
        return sum(found.cpu_ticks for found in self._stats()) / proc.TICKS_PER_SECOND

    def resident_bytes(self) -> int:
        """Pages shared between its processes count once for each of them."""
        return sum(found.resident_pages for found in self._stats()) * proc.PAGE_BYTES

    def _stats(self) -> list[proc.Stat]:
        pid = self.pid
        return [found for member in proc.tree(pid) if (found := proc.stat(member))] if pid else []

    def _signal(self, number: signal.Signals) -> list[int]:
        pid = self.pid
        family = proc.tree(pid) if pid else []
        for member in family:
            with suppress(ProcessLookupError):
                os.kill(member, number)
        return family

    def _forget(self) -> None:
        self._pid_file.unlink(missing_ok=True)
        if self._process is not None:
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(KILL_SECONDS)
            self._process = None


def recorded_pid(pid_file: Path) -> int | None:
    record = _record(pid_file)
    pid = int(record.get("pid") or 0)
    return pid if pid and record["identity"] and proc.identity(pid) == record["identity"] else None


def _record(pid_file: Path) -> dict[str, str]:
    try:
        record: dict[str, str] = json.loads(pid_file.read_text())
    except (FileNotFoundError, json.JSONDecodeError):  # never written, or cut short by a power failure
        return {}
    return record


def last_lines(log: Path, lines: int = 8) -> str:
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - 8192))
            text = file.read().decode(errors="replace")
    except FileNotFoundError:
        return "    (it wrote nothing)"
    return "\n".join("    " + line for line in text.splitlines()[-lines:]) or "    (it wrote nothing)"
