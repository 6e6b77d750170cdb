"""Signatures that the scheme's own library takes, and secrets that nobody can guess or read."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks import Webhook, WebhookVerificationError

from impasto.producer.webhooks.post import Answer
from impasto.producer.webhooks.registry import SigningSecret, new_id, now_ms
from impasto.producer.webhooks.registry import Webhook as Registered
from impasto.producer.webhooks.retries import ATTEMPTS, DELAYS_SECONDS, delay_seconds
from impasto.producer.webhooks.signing import checked_secret, new_secret, signed_headers
from impasto.shared.errors import BadSettings


@given(st.text(), st.text(alphabet="abc_0123456789", min_size=1))
def test_each_secret_verifies_the_body_to_the_letter_and_no_other_body(body: str, message: str) -> None:
    secrets = [new_secret(), new_secret()]
    body = body.encode("utf-8", "replace").decode()
    headers = signed_headers(message, body, secrets)
    for secret in secrets:
        Webhook(secret).verify(body, headers, json_parse=False)
        with pytest.raises(WebhookVerificationError):
            Webhook(secret).verify(f"{body}.", headers, json_parse=False)
    with pytest.raises(WebhookVerificationError):
        Webhook(new_secret()).verify(body, headers, json_parse=False)


@pytest.mark.parametrize("secret", ["", "hunter2", "whsec_", "whsec_aHVudGVyMg==", "whsec_!" + "a" * 40])
def test_a_secret_that_is_none_is_refused_and_not_repeated(secret: str) -> None:
    with pytest.raises(BadSettings) as refused:
        checked_secret(secret)
    assert "hunter" not in str(refused.value)
    assert "aHVudGVyMg" not in str(refused.value)


def test_secrets_and_urls_stay_out_of_what_is_printed() -> None:
    secret = new_secret()
    assert checked_secret(f" {secret}\n") == secret
    kept = Registered(
        id=new_id(),
        url="https://hooks.example/hunter2",
        events=(),
        created_ms=now_ms(),
        secrets=(SigningSecret(secret=secret),),
    )
    assert secret not in repr(kept)
    assert "hunter2" not in repr(kept)
    assert Registered.model_validate_json(kept.model_dump_json()) == kept


def test_an_old_secret_signs_until_its_time_is_over() -> None:
    kept = Registered(
        id=new_id(),
        url="https://hooks.example",
        events=(),
        created_ms=0,
        secrets=(
            SigningSecret(secret="new"),
            SigningSecret(secret="old", until_ms=now_ms() + 60_000),
            SigningSecret(secret="older", until_ms=now_ms() - 1),
        ),
    )
    assert kept.signing() == ["new", "old"]


def test_tries_go_on_for_three_days_and_end() -> None:
    delays = [delay_seconds(attempt, Answer(0.1, 500)) for attempt in range(1, ATTEMPTS + 1)]
    assert delays[-1] is None
    for delay, planned in zip(delays, DELAYS_SECONDS, strict=False):
        assert delay is not None
        assert planned <= delay <= 1.2 * planned
    assert 3 * 24 * 3600 < sum(DELAYS_SECONDS) < 4 * 24 * 3600


def test_an_endpoint_may_ask_for_more_time_but_not_for_less() -> None:
    assert delay_seconds(1, Answer(0.1, 503, retry_after_seconds=3600)) == 3600
    sooner = delay_seconds(2, Answer(0.1, 503, retry_after_seconds=1))
    assert sooner is not None
    assert sooner >= DELAYS_SECONDS[1]
    assert delay_seconds(1, Answer(0.1, 410)) is None
