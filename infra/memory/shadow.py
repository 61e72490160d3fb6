"""A shadow that only remembers what it was told."""

from schemas.payment import PaymentRouted, RequestPayment


class RememberingShadow:
    def __init__(self) -> None:
        self.followed: list[tuple[RequestPayment, PaymentRouted]] = []

    def follow(self, command: RequestPayment, routed: PaymentRouted) -> None:
        self.followed.append((command, routed))
