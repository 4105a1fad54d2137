"""Asynchronous connections to PostgreSQL that break and come back, as the application's role."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, TypeVar

import psycopg
from django.db import connection as django_connection

from messaging.services.plans import HASH_JOINS, SETTINGS

T = TypeVar("T")

# A host that vanished is noticed within about 20 seconds on both sides, so a lock of a lost process comes free.
_CLIENT_KEEPALIVE = {"keepalives_idle": 5, "keepalives_interval": 5, "keepalives_count": 3, "tcp_user_timeout": 20_000}
_SERVER_OPTIONS = SETTINGS | {
    "jit": "off",
    "tcp_keepalives_idle": "5",
    "tcp_keepalives_interval": "5",
    "tcp_keepalives_count": "3",
}
_IDENTITY = ("host", "port", "user", "password", "dbname", "sslmode", "sslrootcert", "options")


class DatabaseAway(Exception):
    """The database did not answer; whether the statement was carried out is not known."""


def connection_parameters() -> dict[str, Any]:
    """How this project's default connection reaches its database, with the plans of hot statements fixed."""
    own = {key: value for key, value in django_connection.get_connection_params().items() if key in _IDENTITY}
    settings = " ".join(f"-c {name}={value}" for name, value in _SERVER_OPTIONS.items())
    options = f"{own.pop('options', '')} {settings}".strip()
    # As Django's own connections: accounts/arrays.py writes texts so.
    return own | _CLIENT_KEEPALIVE | {"options": options, "connect_timeout": 5, "client_encoding": "UTF8"}


async def connect(name: str) -> psycopg.AsyncConnection[Any]:
    """Open a connection in which every statement is a transaction; raises DatabaseAway."""
    try:
        return await psycopg.AsyncConnection.connect(
            **connection_parameters(),
            application_name=name[:60],
            autocommit=True,
            # The settings leave one plan to each statement, however full its queue is.
            prepare_threshold=2,
        )
    except psycopg.OperationalError as error:
        raise DatabaseAway(str(error)) from error


class Database:
    """One connection, opened when first used and again after it broke.

    ``hash_joins`` is for updates of known rows (messaging/services/plans.py). With ``reopen`` off it has to be opened
    by hand: for a connection that holds a lock, where a new one would go on without it.
    """

    def __init__(self, name: str, *, reopen: bool = True, hash_joins: bool = False) -> None:
        self._name = name
        self._hash_joins = hash_joins
        self._reopen = reopen
        self._connection: psycopg.AsyncConnection[Any] | None = None
        self._turn = asyncio.Lock()

    @property
    def is_open(self) -> bool:
        return self._connection is not None and not self._connection.closed

    async def open(self) -> None:
        """Connect if there is no connection; raises DatabaseAway."""
        if not self.is_open:
            connection = await connect(self._name)
            if self._hash_joins:
                await connection.execute(HASH_JOINS.format(local="false"))
            self._connection = connection

    async def fetch(self, query: str, parameters: Sequence[Any] | Mapping[str, Any] = ()) -> list[tuple[Any, ...]]:
        """Run one statement as one transaction; returns its rows. Raises DatabaseAway and closes the connection."""
        async with self._turn:
            try:
                if self._reopen:
                    await self.open()
                if self._connection is None or self._connection.closed:
                    raise DatabaseAway("the connection is closed")
                cursor = await self._connection.execute(query, parameters)
                return await cursor.fetchall() if cursor.description else []
            except (psycopg.OperationalError, psycopg.InterfaceError) as error:
                await self._drop()
                raise DatabaseAway(str(error)) from error

    async def transaction(self, work: Callable[[psycopg.AsyncConnection[Any]], Awaitable[T]]) -> T:
        """Run several statements as one transaction. Raises DatabaseAway and closes the connection."""
        async with self._turn:
            try:
                await self.open()
                if self._connection is None:
                    raise DatabaseAway("the connection is closed")
                async with self._connection.transaction():
                    return await work(self._connection)
            except (psycopg.OperationalError, psycopg.InterfaceError) as error:
                await self._drop()
                raise DatabaseAway(str(error)) from error

    async def close(self) -> None:
        """Close for good or until the next use."""
        async with self._turn:
            await self._drop()

    async def _drop(self) -> None:
        if self._connection is not None:
            await self._connection.close()
            self._connection = None
