"""Who may operate, and which merchants may pay, from files of digests: they hold no secret."""

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Generic, TypeVar

import msgspec
import structlog

from infra.settings import BadSetting, Settings
from schemas.access import AdminKey, MerchantKey

log = structlog.get_logger(__name__)

K = TypeVar("K", AdminKey, MerchantKey)
Take = Callable[[Sequence[K]], None]

READ_WITHIN_S = 2.0

_ADMIN = msgspec.json.Decoder(list[AdminKey])
_MERCHANT = msgspec.json.Decoder(list[MerchantKey])


def admin_keys(settings: Settings) -> Sequence[AdminKey]:
    """Raises BadSetting."""
    return _keys("ADMIN_KEYS_FILE", settings.admin_keys_file, _ADMIN) or ()


def merchant_keys(settings: Settings) -> Sequence[MerchantKey] | None:
    """None where merchants need no key. Raises BadSetting."""
    return _keys("MERCHANT_KEYS_FILE", settings.merchant_keys_file, _MERCHANT)


class KeyFile(Generic[K]):
    """Tells the keys that stand in a file, whenever others stand there. One that cannot be read takes nothing away: the
    keys before stay valid, and `trouble` says so.

    It is read anew at every look, since a file may change twice within one tick of its times.
    """

    def __init__(
        self, variable: str, file: str, decoder: msgspec.json.Decoder[list[K]], take: Take[K]
    ) -> None:
        self.trouble: str | None = None
        self._variable = variable
        self._file = file
        self._decoder: msgspec.json.Decoder[list[K]] = decoder
        self._take: Take[K] = take
        self._content: bytes | None = None
        self._reading: asyncio.Task[bytes] | None = None

    async def look(self) -> None:
        try:
            content = await self._read_in_time()
            if content != self._content:
                keys = _decoded(self._variable, content, self._decoder)
                self._take(keys)
                self._content = content
                log.info("keys", setting=self._variable, count=len(keys))
        except (BadSetting, OSError) as error:
            if self.trouble is None:
                log.error("keys stay as they were", reason=str(error) or "the file is not read in time")
            self.trouble = f"{self._variable} cannot be read: the keys before it are valid"
        else:
            self.trouble = None

    async def _read_in_time(self) -> bytes:
        """A thread that hangs, as a mount may, is left behind, and there is never a second one beside it. Raises
        OSError, of which TimeoutError is one."""
        reading = self._reading or asyncio.create_task(asyncio.to_thread(Path(self._file).read_bytes))
        self._reading = reading
        done, _ = await asyncio.wait([reading], timeout=READ_WITHIN_S)
        if not done:
            raise TimeoutError
        self._reading = None
        return reading.result()


AnyKeyFile = KeyFile[AdminKey] | KeyFile[MerchantKey]


def key_files(
    settings: Settings, take_admins: Take[AdminKey], take_merchants: Take[MerchantKey]
) -> Sequence[AnyKeyFile]:
    """Those that there are by the settings."""
    found: list[AnyKeyFile] = []
    if settings.admin_keys_file is not None:
        found.append(KeyFile("ADMIN_KEYS_FILE", settings.admin_keys_file, _ADMIN, take_admins))
    if settings.merchant_keys_file is not None:
        found.append(KeyFile("MERCHANT_KEYS_FILE", settings.merchant_keys_file, _MERCHANT, take_merchants))
    return found


def _keys(variable: str, file: str | None, decoder: msgspec.json.Decoder[list[K]]) -> list[K] | None:
    return None if file is None else _decoded(variable, _content(variable, file), decoder)


def _content(variable: str, file: str) -> bytes:
    try:
        return Path(file).read_bytes()
    except OSError as error:
        raise BadSetting(f"{variable}: {error}") from None


def _decoded(variable: str, content: bytes, decoder: msgspec.json.Decoder[list[K]]) -> list[K]:
    try:
        keys = decoder.decode(content)
    except (UnicodeDecodeError, msgspec.MsgspecError) as error:
        raise BadSetting(f"{variable}: {error}") from None
    if len({key.sha256 for key in keys}) < len(keys):
        raise BadSetting(f"{variable}: the same key stands there twice")
    return keys
