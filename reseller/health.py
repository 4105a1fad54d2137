"""Which process of the portal is alive, as each of them proves it: plain checks without Django, in milliseconds.

Long-running processes leave keys in Valkey that expire unless renewed. Beat's tasks renew a queue's key in the worker
that consumes it, so the key proves beat, broker and worker at once.
"""

import os
import socket
import sys
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable
from functools import cache

import redis

BEAT_KEY = "health:beat"
QUEUE_KEY = "health:queue:{queue}"
# run_connectors stands below this room and writes through Django's cache: cache.set("health:connectors", …).
CONNECTORS_KEY = ":1:health:connectors"
HEARTBEAT_INTERVAL = 10  # seconds
KEY_LIFETIME = 30  # seconds; a worker busy with one long task is not dead yet
# Seconds, of keys whose owners take longer: no heartbeat is heard while a million recipients are looked at.
LIFETIMES = {QUEUE_KEY.format(queue="accept"): 600}
QUEUES = ("dispatch", "settle", "inbound", "webhooks", "default", "accept", "billing")
DEFAULT_REDIS_URL = "redis://127.0.0.1:6379/0"
TIMEOUT = 3.0  # seconds


class UnhealthyError(Exception):
    """A process does not prove that it works; the text says what was missing."""


def renew(*keys: str) -> None:
    """Say for a while, most often KEY_LIFETIME seconds, that the owners of ``keys`` are alive."""
    steps = _kept_client(_url()).pipeline(transaction=False)
    for key in keys:
        steps.set(key, "1", ex=LIFETIMES.get(key, KEY_LIFETIME))
    steps.execute()


def forget_all() -> None:
    """Drop what processes of an earlier run proved."""
    with _client() as client:
        client.delete(BEAT_KEY, CONNECTORS_KEY, *(QUEUE_KEY.format(queue=queue) for queue in QUEUES))


def check_key(key: str) -> None:
    """Raises UnhealthyError unless ``key`` was renewed lately."""
    try:
        with _client() as client:
            found = client.exists(key)
    except redis.RedisError as error:
        raise UnhealthyError(f"Valkey does not answer: {error}") from error
    if not found:
        raise UnhealthyError(f"{key} was not renewed in the last {LIFETIMES.get(key, KEY_LIFETIME)} s")


def check_queues(*queues: str) -> None:
    """Raises UnhealthyError unless every one of ``queues`` has a working consumer."""
    for queue in queues:
        check_key(QUEUE_KEY.format(queue=queue))


def check_http(url: str, host: str = "") -> None:
    """Raises UnhealthyError unless ``url`` (http only) answers 200; ``host`` is the name to ask for."""
    request = urllib.request.Request(url, headers={"Host": host} if host else {})  # noqa: S310 - our own address
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT) as answer:  # noqa: S310
            if answer.status != 200:
                raise UnhealthyError(f"{url} answers {answer.status}")
    except urllib.error.HTTPError as error:
        raise UnhealthyError(f"{url} answers {error.code}: {error.read(200).decode(errors='replace')}") from error
    except OSError as error:
        raise UnhealthyError(f"{url} does not answer: {error}") from error


def check_port(host: str, port: int) -> None:
    """Raises UnhealthyError unless something accepts connections there."""
    try:
        socket.create_connection((host, port), timeout=TIMEOUT).close()
    except OSError as error:
        raise UnhealthyError(f"nothing accepts connections on {host}:{port}") from error


def _client() -> redis.Redis:
    return redis.Redis.from_url(_url(), socket_timeout=TIMEOUT, socket_connect_timeout=TIMEOUT)


@cache
def _kept_client(url: str) -> redis.Redis:
    """For who renews all the time; a process that was forked has connections of its own."""
    return redis.Redis.from_url(url, socket_timeout=TIMEOUT, socket_connect_timeout=TIMEOUT)


def _url() -> str:
    return os.environ.get("REDIS_URL", DEFAULT_REDIS_URL)


def _check_web() -> None:
    # Inside the container or machine the web process speaks plain HTTP; it answers to the name of its site only.
    site = urllib.parse.urlsplit(os.environ.get("SITE_URL", "")).netloc
    check_http(f"http://127.0.0.1:{os.environ.get('PORT', '8000')}/health/ready/", site)


def _check_simulator() -> None:
    check_port(os.environ.get("SIMULATOR_HOST", "127.0.0.1"), int(os.environ.get("SIMULATOR_PORT", "2775")))


def _check_stripe_double() -> None:
    check_http(os.environ["STRIPE_API_BASE"].rstrip("/") + "/health")


CHECKS: dict[str, Callable[[], None]] = {
    "web": _check_web,
    "worker-dispatch": lambda: check_queues("dispatch"),
    "worker-settle": lambda: check_queues("settle", "inbound"),
    "worker-webhooks": lambda: check_queues("webhooks"),
    "worker-accept": lambda: check_queues("accept"),
    "worker-default": lambda: check_queues("default", "billing"),
    "beat": lambda: check_key(BEAT_KEY),
    "connectors": lambda: check_key(CONNECTORS_KEY),
    "simulator": _check_simulator,
    "stripe-double": _check_stripe_double,
}


def main() -> int:
    """`python -m reseller.health NAME`: the check of a container, which must not start Django every few seconds."""
    names = sys.argv[1:]
    if len(names) != 1 or names[0] not in CHECKS:
        print(f"usage: python -m reseller.health {{{','.join(sorted(CHECKS))}}}", file=sys.stderr)  # noqa: T201
        return 2
    try:
        CHECKS[names[0]]()
    except UnhealthyError as error:
        print(f"{names[0]}: {error}", file=sys.stderr)  # noqa: T201
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
