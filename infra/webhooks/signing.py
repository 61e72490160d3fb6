"""Standard Webhooks 1.0, the sender's half: what proves to a receiver who sent it, and when.

https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
"""

import hmac
from base64 import b64encode
from collections.abc import Sequence
from hashlib import sha256


def signed_headers(delivery_id: str, sent_at_s: int, body: bytes, secrets: Sequence[bytes]) -> dict[str, str]:
    """One signature for each secret: while a receiver takes a new one, either of them verifies."""
    content = f"{delivery_id}.{sent_at_s}.".encode() + body
    signatures = [b64encode(hmac.digest(secret, content, sha256)).decode() for secret in secrets]
    return {
        "webhook-id": delivery_id,
        "webhook-timestamp": str(sent_at_s),
        "webhook-signature": " ".join(f"v1,{signature}" for signature in signatures),
    }
