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


PRODUCTION = {"APP_ENV": "production", "INTERNAL_API_KEY": "a key for the operators"}
WEBHOOK_KEYS = {"WEBHOOK_SECRET_KEYS": f"{'new' * 12},{'old' * 12}"}


def test_production_starts_with_keys_of_its_own() -> None:
    settings = Settings.from_environment(PRODUCTION | WEBHOOK_KEYS)
    assert settings.webhook_secret_keys == ("new" * 12, "old" * 12)


@pytest.mark.parametrize(
    ("environment", "variable"),
    [
        (PRODUCTION, "WEBHOOK_SECRET_KEYS"),
        (PRODUCTION | WEBHOOK_KEYS | {"WEBHOOK_ALLOWED_TARGETS": "10.0.0.0/8"}, "WEBHOOK_ALLOWED_TARGETS"),
        ({"WEBHOOK_SECRET_KEYS": "mine"}, "WEBHOOK_SECRET_KEYS"),
        ({"WEBHOOK_ALLOWED_TARGETS": "localhost"}, "WEBHOOK_ALLOWED_TARGETS"),
    ],
)
def test_webhooks_that_anybody_could_forge_or_misuse_stop_the_start(
    environment: dict[str, str], variable: str
) -> None:
    with pytest.raises(BadSetting) as refused:
        Settings.from_environment(environment)
    assert str(refused.value).startswith(f"{variable}: ")
    assert "mine" not in str(refused.value)
