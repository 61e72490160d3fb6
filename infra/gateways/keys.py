"""With whose keys a gateway is spoken to, and by whose secrets it is believed.

The simulator's are public: they are used only where the simulator plays the gateway, and never in production.
"""

from infra.gateways import local
from infra.settings import BadSetting, Settings
from schemas.gateway import GatewayConfiguration


def razorpay_key(configuration: GatewayConfiguration, settings: Settings) -> tuple[str, str]:
    """Its id and its secret. Raises BadSetting where only the simulator's are left, and it is not the simulator."""
    if settings.razorpay_key_id is not None and settings.razorpay_key_secret is not None:
        return settings.razorpay_key_id, settings.razorpay_key_secret
    _require_simulated(configuration, settings, "RAZORPAY_KEY_ID")
    return local.RAZORPAY_KEY_ID, local.RAZORPAY_KEY_SECRET


def stripe_key(configuration: GatewayConfiguration, settings: Settings) -> str:
    """Raises BadSetting, as above."""
    if settings.stripe_secret_key is not None:
        return settings.stripe_secret_key
    _require_simulated(configuration, settings, "STRIPE_SECRET_KEY")
    return local.STRIPE_SECRET_KEY


def razorpay_webhook_secrets(configuration: GatewayConfiguration, settings: Settings) -> tuple[str, ...]:
    if settings.razorpay_webhook_secrets or settings.razorpay_key_id is not None:
        return settings.razorpay_webhook_secrets
    return (local.RAZORPAY_WEBHOOK_SECRET,) if _is_simulated(configuration, settings) else ()


def stripe_webhook_secrets(configuration: GatewayConfiguration, settings: Settings) -> tuple[str, ...]:
    if settings.stripe_webhook_secrets or settings.stripe_secret_key is not None:
        return settings.stripe_webhook_secrets
    return (local.STRIPE_WEBHOOK_SECRET,) if _is_simulated(configuration, settings) else ()


def _require_simulated(configuration: GatewayConfiguration, settings: Settings, variable: str) -> None:
    if not _is_simulated(configuration, settings):
        raise BadSetting(f"{variable}: is needed for the gateway {configuration.id}")


def _is_simulated(configuration: GatewayConfiguration, settings: Settings) -> bool:
    is_at_the_simulator = configuration.base_url.startswith(f"{settings.simulator_url.rstrip('/')}/")
    return is_at_the_simulator and settings.app_env != "production"
