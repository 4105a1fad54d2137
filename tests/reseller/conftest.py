"""The demo's data, loaded once a module: loading takes seconds."""

from collections.abc import Iterator

import pytest
from django.db import transaction
from pytest_django import DjangoDbBlocker

from reseller.demo.load import load_demo


@pytest.fixture(scope="module")
def demo_data(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> Iterator[None]:
    """The demo in a transaction around the module's tests, each of which rolls back to it.

    Every test of a module that asks for it sees the data, so keep tests that need an empty database or the cast apart.
    """
    with django_db_blocker.unblock(), transaction.atomic():
        load_demo()
        yield
        transaction.set_rollback(True)
