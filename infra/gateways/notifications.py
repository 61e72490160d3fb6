"""What reads a gateway's webhook: one per provider, since each signs and names things in its own way."""

from collections.abc import Mapping
from datetime import datetime
from typing import Protocol

from schemas.notification import GatewayNotified, IgnoredNotification


class NotificationReader(Protocol):
    def read(
        self, headers: Mapping[str, str], body: bytes, now: datetime
    ) -> GatewayNotified | IgnoredNotification:
        """Of the raw body, as it was signed. Raises BadSignature, and Unreadable for what is well signed but no
        notification."""
