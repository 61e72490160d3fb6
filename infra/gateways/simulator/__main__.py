"""`python -m infra.gateways.simulator`: SIMULATOR_BIND says where, SIMULATOR_PROFILES names a JSON file, and below
SIMULATOR_WEBHOOKS_URL is a path for each gateway that tells what happens."""

import os
from pathlib import Path

import msgspec

from infra.gateways.simulator.app import Simulator, server
from infra.gateways.simulator.defaults import DEFAULT_PROFILES, telling
from infra.gateways.simulator.profile import Profile


def main() -> None:
    host, _, port = os.environ.get("SIMULATOR_BIND", "127.0.0.1:18080").rpartition(":")
    profiles = _profiles(os.environ.get("SIMULATOR_PROFILES"))
    webhooks_url = os.environ.get("SIMULATOR_WEBHOOKS_URL")
    if webhooks_url:
        profiles = tuple(telling(profile, webhooks_url) for profile in profiles)
    server(Simulator(profiles), host=host, port=int(port)).run()


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
