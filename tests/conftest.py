"""Fixtures of every test: real PostgreSQL and Valkey of this run's own, threads that race, and the cast.

Use ``db`` (rolled back, acts as the application's role) wherever one connection is enough, ``committed_db`` when other
threads or processes must see the data. ``transactional_db`` does not work: the application's role may not truncate.
The cast that a test asks for stands there already (tests/scenes.py).
"""

import os
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
import redis
from django.db import connections
from hypothesis import HealthCheck, settings
from pytest_django import DjangoDbBlocker

from accounts.garbage import spare_collections
from billing.proof import Verdict, run_proofs
from messaging.proof import PROOFS
from tests.engines import Run, run

if TYPE_CHECKING:  # pytest rewrites the plugins' asserts as long as nobody has imported them before
    from tests.scenes import Scene, Scenes

# Examples are not timed: where everything runs at once, a simple one may have to wait for seconds.
settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")

pytest_plugins = ["tests.cast", "tests.scenes", "tests.browser"]


def pytest_sessionstart(session: pytest.Session) -> None:
    """Start the engines before xdist's workers need them; a run without workers starts them when first used."""
    if getattr(session.config.option, "numprocesses", None) and run().is_owner:
        _start(run())


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with what takes longest, or in the end one worker would be busy with it and the others with nothing."""
    items.sort(key=lambda item: item.get_closest_marker("long") is None)


def pytest_collection_finish() -> None:
    """Code and tests are loaded: spend nothing on looking for garbage among them."""
    spare_collections()


def pytest_unconfigure() -> None:
    """Stop what this process started."""
    run().stop()


@pytest.fixture(scope="session")
def engines() -> Run:
    """The running engines."""
    engines = run()
    _start(engines)
    return engines


def _start(engines: Run) -> None:
    """Without engines every other test would fail for the same reason, so the first failure ends the run."""
    try:
        engines.start()
    except Exception as error:
        pytest.exit(f"The engines of the tests did not start: {error}", returncode=2)


@pytest.fixture(scope="session")
def django_db_setup(engines: Run) -> None:
    """Give this process a migrated database of its own instead of letting Django make one."""
    engines.clone(engines.database)


@pytest.fixture(autouse=True)
def _empty_valkey() -> Iterator[None]:
    """Leave nothing in Valkey (cache, broker, locks) for the next test."""
    yield
    if run().started:
        with redis.Redis.from_url(run().redis_url) as client:
            client.flushdb()


@pytest.fixture
def valkey(engines: Run) -> Iterator[redis.Redis]:
    """This process' own, empty Valkey database; ask for it when a test uses cache or broker but no database."""
    with redis.Redis.from_url(engines.redis_url) as client:
        yield client


@dataclass(frozen=True)
class CommittedDatabase:
    """A database in which commits stay until the test ends."""

    url: str

    @property
    def env(self) -> dict[str, str]:
        """Environment with which a subprocess (manage.py, a worker) works in this database."""
        return os.environ | {"DATABASE_URL": self.url, "DJANGO_SETTINGS_MODULE": "reseller.settings"}


@pytest.fixture
def committed_db(
    engines: Run,
    scenes: "Scenes",
    setting: "Scene",
    django_db_blocker: DjangoDbBlocker,
    monkeypatch: pytest.MonkeyPatch,
    request: pytest.FixtureRequest,
) -> Iterator[CommittedDatabase]:
    """A fresh migrated database for one test: real commits, visible to threads and subprocesses.

    Whatever the test did, the books must be right in the end, unless it is marked ``forges_books``.
    """
    with django_db_blocker.unblock(), scenes.copy(setting) as name:
        database = CommittedDatabase(engines.postgres.url_of(name))
        monkeypatch.setenv("DATABASE_URL", database.url)
        yield database
        wrong = [] if request.node.get_closest_marker("forges_books") else differences()
    assert wrong == []


def differences() -> list[Verdict]:
    """What the proofs of the books find wrong in the database at hand."""
    return [verdict for verdict in run_proofs(PROOFS) if verdict.count]


@pytest.fixture
def run_together() -> Callable[[int, Callable[[int], Any]], list[Any]]:
    """``run_together(n, fn)`` calls fn(0) … fn(n-1) in n threads that start at one moment.

    Returns what each returned, or the exception that it raised, in order of the index. Needs ``committed_db``.
    """
    return race


def race(count: int, work: Callable[[int], Any]) -> list[Any]:
    """Run ``work(index)`` in ``count`` threads at once; results or exceptions by index."""
    barrier = threading.Barrier(count)
    outcomes: list[Any] = [None] * count

    def runner(index: int) -> None:
        try:
            barrier.wait(timeout=30)
            outcomes[index] = work(index)
        except Exception as error:
            outcomes[index] = error
        finally:
            connections.close_all()

    threads = [threading.Thread(target=runner, args=(index,), daemon=True) for index in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    if any(thread.is_alive() for thread in threads):
        raise TimeoutError("a racing thread did not end within 60 s; is it waiting for a lock that nobody frees?")
    return outcomes
