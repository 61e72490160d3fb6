"""Where the programs of the servers are, once `./dev` has installed them, and as whom they may run."""

import os
import pwd
import shutil
from pathlib import Path

from infra.local import LOCAL, LocalError

KAFKA_LIBS = LOCAL / "kafka" / "libs"
KAFKA_FILES = Path(__file__).parent / "kafka"


class MissingProgramError(LocalError):
    """A server is not installed; `./dev` installs it."""


def java(*options: str) -> list[str]:
    if not KAFKA_LIBS.is_dir():
        raise MissingProgramError(f"Kafka is not in {KAFKA_LIBS}; `./dev run` and `./dev test` fetch it")
    home = os.environ.get("JAVA_HOME")
    found = str(Path(home, "bin", "java")) if home else program("java")
    return [found, *options, "-XX:+ExitOnOutOfMemoryError", "-cp", f"{KAFKA_FILES}:{KAFKA_LIBS}/*"]


def program(name: str) -> str:
    if found := shutil.which(name):
        return found
    raise MissingProgramError(
        f"{name} is not installed; `./dev run` and `./dev test` install it on Debian and Ubuntu"
    )


def postgres_program(name: str) -> str:
    """Debian keeps the servers of all versions off the PATH; the newest serves."""
    versions = [
        path for path in Path("/usr/lib/postgresql").glob(f"*/bin/{name}") if path.parts[-3].isdigit()
    ]
    newest = max(versions, key=lambda path: int(path.parts[-3]), default=None)
    return str(newest) if newest else program(name)


def unprivileged_user() -> pwd.struct_passwd | None:
    """Whom root runs PostgreSQL as; None for anybody else, who runs it as themselves."""
    if os.geteuid() != 0:
        return None
    names = {user.pw_name: user for user in pwd.getpwall()}
    return names.get("postgres") or names["nobody"]


def as_unprivileged() -> list[str]:
    if (user := unprivileged_user()) is None:
        return []
    # The death signal is asked for again, because a change of user cancels it.
    return [
        "setpriv",
        f"--reuid={user.pw_uid}",
        f"--regid={user.pw_gid}",
        "--clear-groups",
        "--pdeathsig",
        "KILL",
    ]
