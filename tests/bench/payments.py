"""Payments as a shop would send them: varied by a fixed seed, each with a key and a customer of its own."""

import random
import secrets
from collections.abc import Callable, Mapping
from urllib.parse import urlsplit

import msgspec

INSTRUMENTS: dict[str, dict[str, str]] = {
    "UPI": {"type": "UPI", "vpa": "test@okhdfcbank"},
    "CARD": {"type": "CARD", "token": "tok_benchmark01", "bin": "411111", "last4": "1111", "network": "VISA"},
    "NETBANKING": {"type": "NETBANKING", "bank_code": "HDFC"},
    "WALLET": {"type": "WALLET", "wallet": "paytm"},
}
SHARES: Mapping[str, int] = {"UPI": 60, "CARD": 25, "NETBANKING": 10, "WALLET": 5}
MERCHANTS = [f"m_{number:03}" for number in range(1, 21)]
VARIETY = 4096
"""Bodies made beforehand: making them while measuring would cost time."""


def payment_requests(url: str, seed: int = 1, shares: Mapping[str, int] = SHARES) -> Callable[[int], bytes]:
    """A request for each sequence number, each for a client of its own, as a trusted proxy tells of him.

    Keys are new in every run: a second run must not be replays.
    """
    parts = urlsplit(url)
    path = parts.path.rstrip("/") + "/payments"
    run = f"r{secrets.token_hex(6)}"  # digits alone may look like a card number, which is refused
    head = (
        f"POST {path} HTTP/1.1\r\nHost: {parts.netloc}\r\nContent-Type: application/json\r\nIdempotency-Key: "
    )
    chance = random.Random(seed)
    bodies = [_body_but_customer(chance, shares) for _ in range(VARIETY)]

    def request(sequence: int) -> bytes:
        name = f"{run}-{sequence}"
        client = f"10.{sequence >> 16 & 255}.{sequence >> 8 & 255}.{sequence & 255}"
        body = f'{bodies[sequence % VARIETY]}"cust-{name}"}}'
        return f"{head}bench-{name}\r\nX-Forwarded-For: {client}\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode()

    return request


def _body_but_customer(chance: random.Random, shares: Mapping[str, int]) -> str:
    method = chance.choices(list(shares), list(shares.values()))[0]
    body = {
        "amount_minor": int(chance.lognormvariate(10.5, 1.2)) + 100,
        "currency": "INR",
        "payment_method": method,
        "merchant_id": chance.choice(MERCHANTS),
        "instrument": INSTRUMENTS[method],
    }
    return msgspec.json.encode(body).decode()[:-1] + ',"customer_id":'
