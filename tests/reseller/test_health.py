"""Health: what a load balancer, docker-compose and the supervisor ask."""

import pytest
from django.core.management import CommandError, call_command

from reseller import health
from reseller.run.services import WORKERS
from reseller.tasks import heartbeat
from tests.engines import ROOT


@pytest.fixture(autouse=True)
def _broker_of_this_test(engines, monkeypatch):
    monkeypatch.setenv("REDIS_URL", engines.redis_url)


def test_a_live_process_says_so_without_any_engine(client):
    assert client.get("/health/live/").json() == {"status": "ok"}


def test_ready_names_both_engines(client, db):
    answer = client.get("/health/ready/")
    assert (answer.status_code, answer.json()) == (200, {"status": "ok", "database": "ok", "broker": "ok"})


def test_not_ready_without_the_broker_and_no_word_of_why(client, db, settings):
    settings.REDIS_URL = "redis://:secret@127.0.0.1:9/0"
    answer = client.get("/health/ready/")
    assert answer.status_code == 503
    assert answer.json() == {"status": "unready", "database": "ok", "broker": "unreachable"}


def test_a_queue_is_healthy_only_after_its_own_heartbeat(valkey):
    heartbeat("webhooks")
    health.CHECKS["worker-webhooks"]()
    health.CHECKS["beat"]()
    with pytest.raises(health.UnhealthyError, match="health:queue:dispatch"):
        health.CHECKS["worker-dispatch"]()


def test_a_heartbeat_expires(valkey):
    heartbeat("settle")
    assert 0 < valkey.ttl("health:queue:settle") <= 30
    heartbeat("accept")
    assert 30 < valkey.ttl("health:queue:accept") <= 600  # its next one may have to wait for a large batch


def test_a_worker_of_two_queues_needs_both(valkey):
    heartbeat("default")
    with pytest.raises(health.UnhealthyError, match="health:queue:billing"):
        health.CHECKS["worker-default"]()


def test_every_queue_has_one_kind_of_worker_and_compose_starts_the_same():
    consumed = [queue for queues, *_ in WORKERS.values() for queue in queues.split(",")]
    assert sorted(consumed) == sorted(health.QUEUES)
    compose = (ROOT / "docker-compose.yml").read_text()
    for name, (queues, *pool) in WORKERS.items():
        arguments = ", ".join(f'"{one}"' for one in ("worker", "-Q", queues, *pool, "-n", f"{name}@%h"))
        assert arguments in compose


def test_connectors_prove_themselves_through_the_cache(valkey):
    from django.core.cache import cache

    with pytest.raises(CommandError, match="connectors"):
        call_command("check_health", "connectors")
    cache.set("health:connectors", 1, 30)
    call_command("check_health", "connectors")


def test_a_new_run_forgets_what_the_last_one_proved(valkey):
    heartbeat("settle")
    health.forget_all()
    with pytest.raises(health.UnhealthyError):
        health.CHECKS["beat"]()
