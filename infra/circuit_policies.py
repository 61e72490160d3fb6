"""How each circuit is to be judged, from a file: the most particular entry that there is."""

from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta

from infra.settings import BadSetting, Settings
from schemas.circuit import CircuitKey, CircuitPolicy, circuit_name

Name = Annotated[str, Meta(pattern=r"^(\*|[a-z][a-z0-9_-]{1,31}(:(UPI|CARD|NETBANKING|WALLET))?)$(?!\n)")]
"""`razorpay:UPI`, `razorpay`, or `*` for all."""


class StrictPolicy(CircuitPolicy, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A misspelt option must not be silently ignored."""


class CircuitPolicies:
    """Raises BadSetting, naming the variable, for a file that cannot be read or makes no sense."""

    def __init__(self, settings: Settings) -> None:
        self._policies: dict[str, StrictPolicy] = {}
        if settings.circuit_policies_file is None:
            return
        try:
            text = Path(settings.circuit_policies_file).read_bytes()
            self._policies = msgspec.json.decode(text, type=dict[Name, StrictPolicy])
        except (OSError, msgspec.MsgspecError) as error:
            raise BadSetting(f"CIRCUIT_POLICIES_FILE: {error}") from None

    def of(self, circuit: CircuitKey) -> CircuitPolicy:
        for name in (circuit_name(*circuit), circuit[0], "*"):
            if name in self._policies:
                return self._policies[name]
        return CircuitPolicy()
