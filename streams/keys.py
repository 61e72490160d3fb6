"""`python -m streams.cli key`: a new key, told once, and what is written down of it."""

import argparse
from collections.abc import Callable

import msgspec

from infra.clock import SystemClock
from schemas.access import SCOPES, AdminKey, MerchantKey, digest


def add_keys(
    verbs: "argparse._SubParsersAction[argparse.ArgumentParser]", tell: Callable[[str], None]
) -> None:
    verb = verbs.add_parser("operator", help="for X-Internal-Api-Key, with a name and scopes")
    verb.add_argument("name", help="whose it is; a second one of the same name replaces the first, in time")
    verb.add_argument("scopes", nargs="+", choices=SCOPES, metavar="scope", help=", ".join(SCOPES))
    verb.set_defaults(run=lambda asked: _make(asked, tell))
    verb = verbs.add_parser("merchant", help="for Authorization: Bearer, where merchants need keys")
    verb.add_argument("merchant_id")
    verb.set_defaults(run=lambda asked: _make(asked, tell))


def _make(asked: argparse.Namespace, tell: Callable[[str], None]) -> int:
    key = SystemClock().secret("pgm_" if "merchant_id" in asked else "pgk_")
    written = {"sha256": digest(key.encode())}
    try:
        entry = (
            msgspec.convert({"merchant_id": asked.merchant_id, **written}, MerchantKey)
            if "merchant_id" in asked
            else msgspec.convert({"name": asked.name, "scopes": asked.scopes, **written}, AdminKey)
        )
    except msgspec.ValidationError as error:
        tell(str(error))
        return 2
    variable = "MERCHANT_KEYS_FILE" if isinstance(entry, MerchantKey) else "ADMIN_KEYS_FILE"
    tell(f"The key, which is shown once and kept nowhere: {key}")
    tell(f"To be added to the list in {variable}: {msgspec.json.encode(entry).decode()}")
    return 0
