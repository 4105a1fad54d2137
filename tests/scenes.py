"""Databases in which the cast of a test already stands.

Making a reseller and its client takes longer than most tests do. So each test process makes every group of people that
its tests ask for once, commits them into a database of that group's own, and lets each test work there in a transaction
that is rolled back, or in a copy of it (``committed_db``). A module whose tests all need more than people marks them
``furnished`` with a function that makes the rest, once for all of them.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import pytest
import redis
from django.db import connections, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from pytest_django import DjangoDbBlocker

from tests.cast import CAST, Member, make_rates, make_route
from tests.engines import MIGRATED, Run

# Midnight of every time zone, with which days of the books begin, falls on a quarter of an hour: whoever counts "today"
# in a test finds what the cast did on the same day, as if it had been done for this test.
FRESH = 15 * 60  # seconds
# Makes what stands around the people of a scene; what it returns, each test of the scene gets a copy of.
Furnish = Callable[[dict[str, Member]], Any]


@dataclass(frozen=True)
class Scene:
    """Who stands where: ``pristine`` is a database in which nobody works, ``quarter`` is when it was made."""

    pristine: str
    quarter: int
    made: dict[str, Member]
    furniture: Any = None

    def cast(self) -> dict[str, Member]:
        """The people for one test, which may change the objects as it likes."""
        return deepcopy(self.made)


class Scenes:
    """The scenes of this test process."""

    def __init__(self, engines: Run) -> None:
        self.engines = engines
        self._scenes: dict[tuple[frozenset[str], Furnish | None], Scene] = {}
        self._copies: dict[str, str] = {}  # pristine -> where tests roll back

    def of(self, wanted: frozenset[str], furnish: Furnish | None = None) -> Scene:
        """The scene with exactly these people; without any it is the migrated database, with no rates and no route."""
        if not wanted:
            return Scene(MIGRATED, 0, {})
        found, quarter = self._scenes.get((wanted, furnish)), int(time.time() // FRESH)
        if found and found.quarter == quarter:
            return found
        if found:
            self._forget(found.pristine)
        self._scenes[wanted, furnish] = scene = self._build(wanted, furnish, quarter)
        return scene

    def _build(self, wanted: frozenset[str], furnish: Furnish | None, quarter: int) -> Scene:
        made: dict[str, Member] = {}
        pristine = self.engines.clone_new()
        with on(pristine), transaction.atomic():
            make_rates()
            make_route()
            for name, make in CAST.items():
                if name in wanted:
                    made[name] = make(made)
            furniture = furnish(made) if furnish else None
        let_go(pristine)
        with redis.Redis.from_url(self.engines.redis_url) as client:
            client.flushdb()  # the first test must not find more there than the others
        return Scene(pristine, quarter, made, furniture)

    def _forget(self, pristine: str) -> None:
        for database in (pristine, self._copies.pop(pristine, None)):
            if database:
                let_go(database)
                self.engines.drop(database)

    def shared(self, scene: Scene) -> str:
        """The database in which all tests of the scene play that roll back."""
        if scene.pristine not in self._copies:
            self._copies[scene.pristine] = self.engines.clone_new(scene.pristine)
        return self._copies[scene.pristine]

    @contextmanager
    def copy(self, scene: Scene) -> Iterator[str]:
        """Work in a database like the scene's, untouched by other tests and dropped afterwards; gives its name."""
        name = self.engines.clone_new(scene.pristine)
        try:
            with on(name):
                yield name
        finally:
            let_go(name)
            self.engines.drop(name)


_connections: dict[str, dict[str, BaseDatabaseWrapper]] = {}


@contextmanager
def on(database: str) -> Iterator[None]:
    """Let Django work in another database of the tests' server; its connection is kept for the next time."""
    before = {alias: (connections.settings[alias]["NAME"], connections[alias]) for alias in connections}
    for alias in connections:
        connections.settings[alias]["NAME"] = database
        kept = _connections.setdefault(database, {}).get(alias)
        connections[alias] = kept or connections.create_connection(alias)
    try:
        yield
    finally:
        for alias, (name, connection) in before.items():
            _connections[database][alias] = connections[alias]
            connections.settings[alias]["NAME"] = name
            connections[alias] = connection


def let_go(database: str) -> None:
    """Close the connections to a database, so that it can be copied or dropped."""
    for connection in _connections.pop(database, {}).values():
        connection.close()


def pytest_itemcollected(item: pytest.Item) -> None:
    """The setting comes first: the mark ``django_db`` would begin the test's transaction in another database."""
    names = getattr(item, "fixturenames", [])
    if "setting" in names:
        names.remove("setting")
        names.insert(0, "setting")


@pytest.fixture(scope="session")
def scenes(engines: Run, django_db_setup: None) -> Scenes:
    """The databases of this process with the cast in them."""
    return Scenes(engines)


@pytest.fixture(autouse=True)
def setting(request: pytest.FixtureRequest, django_db_blocker: DjangoDbBlocker) -> Iterator[Scene | None]:
    """Where the test plays and with whom, known before its first fixture touches the database."""
    wanted = frozenset({"stage", *CAST} & set(request.fixturenames))
    if not wanted and "committed_db" not in request.fixturenames:
        yield None
        return
    scenes: Scenes = request.getfixturevalue("scenes")
    furnished = request.node.get_closest_marker("furnished")
    with django_db_blocker.unblock():
        scene = scenes.of(wanted, furnished.kwargs["by"] if furnished else None)
    if "committed_db" in request.fixturenames:
        yield scene  # which copies it
        return
    with on(scenes.shared(scene)):
        yield scene


@pytest.fixture
def cast(setting: Scene) -> dict[str, Member]:
    """The people of the test's scene; ask for each by the name of its own fixture."""
    return setting.cast()


@pytest.fixture
def furniture(setting: Scene) -> Any:
    """What the function returned that the test is marked ``furnished`` with."""
    return deepcopy(setting.furniture)
