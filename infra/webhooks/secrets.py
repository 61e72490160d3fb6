"""The secrets that deliveries are signed with. None is stored: each is made of a key of ours and of its own name.

So there is no table to steal, to lose or to restore, and nothing on the log that could be told. Whoever has the key
has every secret: it is rotated by putting a new one first, rotating the subscriptions' secrets, and taking the old one
out. https://www.rfc-editor.org/rfc/rfc5869 §2.3, of one block.
"""

import hmac
from base64 import b64encode
from collections.abc import Sequence
from hashlib import sha256

from schemas.webhook import SecretVersion, SubscriptionId

_PREFIX = "whsec_"


class Secrets:
    def __init__(self, keys: Sequence[str]) -> None:
        """The first key is the one that new secrets are made of."""
        self._keys = {_name(key): key.encode() for key in keys}
        self.newest = _name(keys[0])

    def knows(self, version: SecretVersion) -> bool:
        return version.key in self._keys

    def secret(self, subscription_id: SubscriptionId, version: SecretVersion) -> bytes:
        return hmac.digest(
            self._keys[version.key], f"webhook:{subscription_id}:{version.number}".encode() + b"\x01", sha256
        )

    def shown(self, subscription_id: SubscriptionId, version: SecretVersion) -> str:
        """As the receiver is given it, once."""
        return _PREFIX + b64encode(self.secret(subscription_id, version)).decode()

    def __repr__(self) -> str:
        return "Secrets(…)"


def _name(key: str) -> str:
    """Says which key it is, and nothing of it: a key is long, and these are 32 bits."""
    return hmac.digest(key.encode(), b"webhook key name", sha256).hex()[:8]
