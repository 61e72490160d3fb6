"""What the environment may say of secrets."""

import pytest

from infra.settings import BadSetting, Settings


@pytest.mark.parametrize("variable", ["RAZORPAY_WEBHOOK_SECRETS", "STRIPE_WEBHOOK_SECRETS"])
def test_while_secrets_are_rotated_both_are_known(variable: str) -> None:
    settings = Settings.from_environment({variable: "whsec_old_one, whsec_new_one"})
    assert getattr(settings, variable.lower()) == ("whsec_old_one", "whsec_new_one")


@pytest.mark.parametrize("variable", ["RAZORPAY_WEBHOOK_SECRETS", "STRIPE_WEBHOOK_SECRETS"])
@pytest.mark.parametrize(
    "given", ["whsec_of_mine,", ",whsec_of_mine", "whsec_of_mine,,whsec_another", "mine"]
)
def test_a_secret_that_anybody_could_guess_stops_the_start_without_being_shown(
    variable: str, given: str
) -> None:
    with pytest.raises(BadSetting) as refused:
        Settings.from_environment({variable: given})
    assert str(refused.value).startswith(f"{variable}: ")
    assert "mine" not in str(refused.value)


PRODUCTION = {
    "APP_ENV": "production",
    "INTERNAL_API_KEY": "an-internal-key",
    "DATABASE_URL": "postgres://gateway:of-our-own@db.internal/payments_gateway",
}
PERSONAL_KEYS = {"PERSONAL_DATA_KEYS": f"{'new' * 12},{'old' * 12}"}
WEBHOOK_KEYS = PERSONAL_KEYS | {"WEBHOOK_SECRET_KEYS": f"{'new' * 12},{'old' * 12}"}


def test_production_starts_with_keys_of_its_own() -> None:
    settings = Settings.from_environment(PRODUCTION | WEBHOOK_KEYS)
    assert settings.webhook_secret_keys == ("new" * 12, "old" * 12)
    assert settings.personal_data_keys == ("new" * 12, "old" * 12)


@pytest.mark.parametrize(
    ("environment", "variable"),
    [
        (PRODUCTION, "PERSONAL_DATA_KEYS"),
        ({"PERSONAL_DATA_KEYS": "mine"}, "PERSONAL_DATA_KEYS"),
        (PRODUCTION | PERSONAL_KEYS, "WEBHOOK_SECRET_KEYS"),
        (PRODUCTION | WEBHOOK_KEYS | {"WEBHOOK_ALLOWED_TARGETS": "10.0.0.0/8"}, "WEBHOOK_ALLOWED_TARGETS"),
        ({"WEBHOOK_SECRET_KEYS": "mine"}, "WEBHOOK_SECRET_KEYS"),
        ({"WEBHOOK_ALLOWED_TARGETS": "localhost"}, "WEBHOOK_ALLOWED_TARGETS"),
    ],
)
def test_keys_that_anybody_knows_and_webhooks_that_anybody_could_misuse_stop_the_start(
    environment: dict[str, str], variable: str
) -> None:
    with pytest.raises(BadSetting) as refused:
        Settings.from_environment(environment)
    assert str(refused.value).startswith(f"{variable}: ")
    assert "mine" not in str(refused.value)


def test_proxies_are_addresses_and_networks() -> None:
    settings = Settings.from_environment({"TRUSTED_PROXIES": "10.0.0.0/8, 192.0.2.1,2001:db8::/32"})
    assert [str(network) for network in settings.proxies] == ["10.0.0.0/8", "192.0.2.1/32", "2001:db8::/32"]


@pytest.mark.parametrize("given", ["0.0.0.0/0", "::/0", "10.0.0.1/8", "proxy.internal", "10.0.0.0/8,"])
def test_proxies_that_are_everybody_or_nobody_stop_the_start(given: str) -> None:
    with pytest.raises(BadSetting, match=r"^TRUSTED_PROXIES: "):
        Settings.from_environment({"TRUSTED_PROXIES": given})


@pytest.mark.parametrize("variable", ["RATE_LIMIT_PER_SECOND", "RATE_LIMIT_BURST"])
@pytest.mark.parametrize("given", ["0", "-1", "nan", "many", "1e9"])
def test_a_rate_limit_that_is_none_stops_the_start(variable: str, given: str) -> None:
    with pytest.raises(BadSetting, match=rf"^{variable}: "):
        Settings.from_environment({variable: given})


@pytest.mark.parametrize("variable", ["INTERNAL_API_KEY", "DATABASE_URL"])
def test_production_does_not_start_with_a_secret_that_everybody_knows(variable: str) -> None:
    environment = PRODUCTION | WEBHOOK_KEYS
    Settings.from_environment(environment)
    with pytest.raises(BadSetting, match=rf"^{variable}: .* refused in production$"):
        Settings.from_environment({name: value for name, value in environment.items() if name != variable})
