"""What a request with an Idempotency-Key is known again by: hashes of the key, and of both under a secret of ours.

A key may be an order's number, and then all but a VPA of the body can be guessed: without the secret neither the log
nor the reservations confirm a guess.
"""

import hmac
from collections.abc import Sequence
from hashlib import sha256

import msgspec

from schemas.http import PaymentBody


class Fingerprints:
    def __init__(self, secrets: Sequence[str]) -> None:
        """New ones are made under the first secret; of the others they are still known."""
        self._secrets = {_name(secret): secret.encode() for secret in secrets}
        self._newest = _name(secrets[0])

    def of(self, key: str, body: PaymentBody) -> str:
        """Of the body as parsed, so that white space and field order do not matter."""
        return self._under(self._newest, key, body)

    def know(self, fingerprint: str) -> bool:
        """Whether it can be compared: one under a secret that is not here cannot, which says nothing of the request."""
        name, point, _ = fingerprint.partition(".")
        return not point or name in self._secrets

    def agree(self, fingerprint: str, key: str, body: PaymentBody) -> bool:
        """Whether it is of this very request. One without the name of a secret was made before there were any."""
        name, point, _ = fingerprint.partition(".")
        if not point:
            return hmac.compare_digest(fingerprint, sha256(_told(key, body)).hexdigest())
        return name in self._secrets and hmac.compare_digest(fingerprint, self._under(name, key, body))

    def _under(self, name: str, key: str, body: PaymentBody) -> str:
        digest = hmac.digest(self._secrets[name], _told(key, body), "sha256")
        return f"{name}.{digest.hex()}"


def key_hash(key: str) -> str:
    """The key itself is never stored: it may be a secret of the client's. Under no secret, or a change of it would free
    every key."""
    return sha256(key.encode()).hexdigest()


def _told(key: str, body: PaymentBody) -> bytes:
    return key.encode() + b"\n" + _CANONICAL.encode(body)


def _name(secret: str) -> str:
    """Says which secret it is, and nothing of it: it is long, and these are 32 bits."""
    return hmac.digest(secret.encode(), b"fingerprints", "sha256").hex()[:8]


_CANONICAL = msgspec.json.Encoder(order="deterministic")
