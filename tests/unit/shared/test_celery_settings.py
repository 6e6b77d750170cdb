from __future__ import annotations

import ssl

from impasto.shared.celery_app import make_app, queue_keys
from impasto.shared.deployment import Deployment

DEPLOYMENT = Deployment.load(_env_file=None, namespace="studio")


def test_messages_are_json_and_nothing_else_is_accepted() -> None:
    conf = make_app(DEPLOYMENT, "redis://localhost:1/0").conf
    assert conf.accept_content == ["json"]
    assert conf.task_serializer == "json"


def test_a_message_is_acknowledged_after_its_work() -> None:
    conf = make_app(DEPLOYMENT, "redis://localhost:1/0").conf
    assert conf.task_acks_late
    assert conf.worker_prefetch_multiplier == 0
    assert conf.worker_disable_prefetch


def test_an_encrypted_server_must_show_a_certificate_that_is_trusted() -> None:
    required = {"ssl_cert_reqs": ssl.CERT_REQUIRED}
    assert make_app(DEPLOYMENT, "rediss://host:1/0").conf.broker_use_ssl == required
    assert not make_app(DEPLOYMENT, "redis://host:1/0").conf.broker_use_ssl


def test_two_namespaces_share_no_key_on_one_server() -> None:
    ours = make_app(DEPLOYMENT, "redis://localhost:1/0").conf
    theirs = make_app(Deployment.load(_env_file=None, namespace="other"), "redis://localhost:1/0").conf
    for name in ("unacked_key", "unacked_index_key", "unacked_mutex_key"):
        assert ours.broker_transport_options[name] != theirs.broker_transport_options[name]
    assert not set(queue_keys(DEPLOYMENT)) & set(
        queue_keys(Deployment.load(_env_file=None, namespace="other"))
    )


def test_a_celery_application_of_ours_is_not_the_process_wide_one() -> None:
    from celery import current_app

    assert current_app._get_current_object() is not make_app(DEPLOYMENT, "redis://localhost:1/0")
