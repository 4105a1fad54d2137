"""`manage.py load_demo`: loads once, and never by accident."""

from io import StringIO

import pytest
from django.core.management import CommandError, call_command

from accounts.models import Account, User
from billing.models import LedgerTransaction, TopUp
from messaging.models import Batch, Message, Receipt, SmppConnector

pytestmark = pytest.mark.django_db


def load() -> str:
    out = StringIO()
    call_command("load_demo", is_demo=True, stdout=out)
    return out.getvalue()


def test_a_second_load_changes_nothing_but_the_carriers_address(settings):
    load()
    before = [model.objects.count() for model in (User, Account, Batch, Message, Receipt, TopUp, LedgerTransaction)]
    settings.SIMULATOR_PORT = 29_999
    assert "there already" in load()
    after = [model.objects.count() for model in (User, Account, Batch, Message, Receipt, TopUp, LedgerTransaction)]
    assert after == before
    assert set(SmppConnector.objects.values_list("port", flat=True)) == {29_999}


@pytest.mark.parametrize("environment", ["production", "test"])
def test_outside_development_it_needs_the_word_that_this_is_a_demo(settings, environment):
    settings.ENVIRONMENT = environment
    with pytest.raises(CommandError, match="--yes-this-is-a-demo"):
        call_command("load_demo")
    assert not User.objects.exists()


def test_in_development_it_loads_without_asking(settings):
    settings.ENVIRONMENT = "development"
    call_command("load_demo", verbosity=0)
    assert User.objects.filter(email="reseller@demo.example").exists()
