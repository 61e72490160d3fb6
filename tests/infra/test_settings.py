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
