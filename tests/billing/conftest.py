from collections.abc import Iterator

import pytest
from pytest_django import Settings

from tests.stripe_double import Double, running_double


@pytest.fixture
def double(settings: Settings) -> Iterator[Double]:
    """The Stripe double over real HTTP; the portal's gateway speaks to it."""
    with running_double() as running:
        settings.STRIPE_API_BASE = running.url
        yield running
