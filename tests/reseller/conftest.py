"""The demo's data, loaded once a module, for loading takes seconds; and somebody of the staff."""

from collections.abc import Iterator

import pytest
from django.db import transaction
from django.test import Client
from pytest_django import DjangoDbBlocker

from accounts.models import User
from reseller.demo.load import load_demo
from tests.cast import PASSWORD, LogIn


def pytest_itemcollected(item: pytest.Item) -> None:
    """One worker loads the demo for a module, instead of each for some of its tests."""
    if "demo_data" in getattr(item, "fixturenames", ()):
        item.add_marker(pytest.mark.xdist_group("demo"))


@pytest.fixture(scope="module")
def demo_data(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> Iterator[None]:
    """The demo in a transaction around the module's tests, each of which rolls back to it.

    Every test of a module that asks for it sees the data, so keep tests that need an empty database or the cast apart.
    """
    with django_db_blocker.unblock(), transaction.atomic():
        load_demo()
        yield
        transaction.set_rollback(True)


@pytest.fixture
def staff_user(db: None) -> User:
    return User.objects.create_superuser("staff@test.example", "staff@test.example", PASSWORD, name="Sam Staff")


@pytest.fixture
def staff(staff_user: User, log_in: LogIn) -> Client:
    return log_in(staff_user)
