"""A request is known again by its fingerprint, and nobody who reads one can try out what it was made of."""

from hashlib import sha256

import msgspec

from commands.fingerprints import Fingerprints, key_hash
from tests.builders import a_body

NEW, OLD = "the new secret", "the old secret"


def test_the_same_key_and_body_agree_and_any_other_field_does_not() -> None:
    fingerprints = Fingerprints([NEW])
    fingerprint = fingerprints.of("k", a_body())
    assert fingerprints.agree(fingerprint, "k", a_body())
    others = [a_body(amount_minor=1), a_body(customer_id="cus_2"), a_body(currency="USD")]
    assert not any(fingerprints.agree(fingerprint, "k", other) for other in others)
    assert not fingerprints.agree(fingerprint, "l", a_body())


def test_a_fingerprint_is_another_under_another_secret_and_holds_neither() -> None:
    one, other = (Fingerprints([secret]).of("k", a_body()) for secret in (NEW, OLD))
    assert one.partition(".")[2] != other.partition(".")[2]
    assert "secret" not in one


def test_while_secrets_change_what_was_made_under_the_old_one_is_known() -> None:
    fingerprint = Fingerprints([OLD]).of("k", a_body())
    for secrets in ([OLD, NEW], [NEW, OLD]):
        assert Fingerprints(secrets).agree(fingerprint, "k", a_body())
        assert not Fingerprints(secrets).agree(fingerprint, "k", a_body(amount_minor=1))
        assert Fingerprints(secrets).know(fingerprint)


def test_what_was_made_under_a_secret_that_is_not_here_is_not_known_and_agrees_with_nothing() -> None:
    fingerprint = Fingerprints([OLD]).of("k", a_body())
    assert not Fingerprints([NEW]).know(fingerprint)
    assert not Fingerprints([NEW]).agree(fingerprint, "k", a_body())


def test_a_key_from_before_there_were_secrets_is_known_still() -> None:
    body = msgspec.json.encode(a_body(), order="deterministic")
    earlier = sha256(b"k\n" + body).hexdigest()
    assert Fingerprints([NEW]).know(earlier)
    assert Fingerprints([NEW]).agree(earlier, "k", a_body())
    assert not Fingerprints([NEW]).agree(earlier, "k", a_body(amount_minor=1))


def test_what_is_no_fingerprint_agrees_with_nothing() -> None:
    for fingerprint in ("", ".", "5e0c", key_hash("k")):
        assert not Fingerprints([NEW]).agree(fingerprint, "k", a_body())


def test_the_hash_of_a_key_is_not_the_key() -> None:
    assert "key 1" not in key_hash("key 1")
