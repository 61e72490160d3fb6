"""Who may operate, and which merchants may pay, from files of digests: they hold no secret."""

from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

import msgspec

from infra.settings import BadSetting, Settings
from schemas.access import AdminKey, MerchantKey

K = TypeVar("K", AdminKey, MerchantKey)

_ADMIN = msgspec.json.Decoder(list[AdminKey])
_MERCHANT = msgspec.json.Decoder(list[MerchantKey])


def admin_keys(settings: Settings) -> Sequence[AdminKey]:
    """Raises BadSetting."""
    return _read("ADMIN_KEYS_FILE", settings.admin_keys_file, _ADMIN) or ()


def merchant_keys(settings: Settings) -> Sequence[MerchantKey] | None:
    """None where merchants need no key. Raises BadSetting."""
    return _read("MERCHANT_KEYS_FILE", settings.merchant_keys_file, _MERCHANT)


def _read(variable: str, file: str | None, decoder: msgspec.json.Decoder[list[K]]) -> list[K] | None:
    if file is None:
        return None
    try:
        keys = decoder.decode(Path(file).read_bytes())
    except (OSError, UnicodeDecodeError, msgspec.MsgspecError) as error:
        raise BadSetting(f"{variable}: {error}") from None
    if len({key.sha256 for key in keys}) < len(keys):
        raise BadSetting(f"{variable}: the same key stands there twice")
    return keys
