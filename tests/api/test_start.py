"""What the payment service says of its settings when it starts."""

from msgspec.structs import replace
from structlog.testing import capture_logs

from api.__main__ import warn_of_no_proxies
from infra.settings import Settings

PRODUCTION = Settings(app_env="production")


def test_production_without_a_trusted_proxy_is_warned_once_and_nobody_else_is() -> None:
    for settings, warnings in (
        (PRODUCTION, ["TRUSTED_PROXIES"]),
        (replace(PRODUCTION, trusted_proxies=("10.0.0.0/8",)), []),
        (Settings(), []),
    ):
        with capture_logs() as logs:
            warn_of_no_proxies(settings)
        assert [entry["setting"] for entry in logs if entry["log_level"] == "warning"] == warnings
