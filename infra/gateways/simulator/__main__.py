"""`python -m infra.gateways.simulator`: SIMULATOR_BIND says where, SIMULATOR_PROFILES names a JSON file.

SIMULATOR_NOTIFIES is the address of who is told of what becomes of a charge, by the gateways whose real ones notify.
"""

import os
from pathlib import Path

import msgspec
from msgspec.structs import replace

from infra.gateways.local import RAZORPAY_WEBHOOK_SECRET, STRIPE_WEBHOOK_SECRET
from infra.gateways.simulator.app import Simulator, server
from infra.gateways.simulator.defaults import DEFAULT_PROFILES
from infra.gateways.simulator.profile import Profile, Webhooks

WEBHOOK_SECRETS = {"razorpay": RAZORPAY_WEBHOOK_SECRET, "stripe": STRIPE_WEBHOOK_SECRET}


def main() -> None:
    host, _, port = os.environ.get("SIMULATOR_BIND", "127.0.0.1:18080").rpartition(":")
    profiles = _profiles(os.environ.get("SIMULATOR_PROFILES"))
    if notified := os.environ.get("SIMULATOR_NOTIFIES"):
        profiles = tuple(_notifying(profile, notified) for profile in profiles)
    server(Simulator(profiles), host=host, port=int(port)).run()


def _notifying(profile: Profile, address: str) -> Profile:
    secret = WEBHOOK_SECRETS.get(profile.wire)
    if secret is None or profile.webhooks is not None:
        return profile
    url = f"{address.rstrip('/')}/gateway-notifications/{profile.gateway}"
    return replace(profile, webhooks=Webhooks(url=url, secrets=(secret,)))


def _profiles(file: str | None) -> tuple[Profile, ...]:
    if not file:
        return DEFAULT_PROFILES
    try:
        profiles = msgspec.json.decode(Path(file).read_bytes(), type=tuple[Profile, ...])
    except (OSError, msgspec.MsgspecError) as error:
        raise SystemExit(f"SIMULATOR_PROFILES: {error}") from error
    if not all(profile.gateway for profile in profiles):
        raise SystemExit("SIMULATOR_PROFILES: each profile must name its gateway")
    return profiles


main()
