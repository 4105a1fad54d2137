"""`manage.py rotate_credentials`: what is kept is encrypted with the new key, and the old one may go."""

import pytest
from cryptography.fernet import Fernet
from django.core.management import call_command
from django.db import connection

from accounts.encryption import CannotDecrypt
from messaging.models import SmppConnector
from tests.messaging.carrier import connect_route


def kept() -> str:
    with connection.cursor() as cursor:
        cursor.execute("SELECT password FROM messaging_smppconnector")
        return str(cursor.fetchone()[0])


def test_everything_kept_is_encrypted_with_the_new_key_and_the_old_one_may_go(db, stage, settings, capsys):
    old, new = (Fernet.generate_key().decode() for _ in range(2))
    settings.CREDENTIAL_KEYS = [old]
    connect_route(2775, window=7)
    with_old = kept()
    assert "simulator" not in with_old

    settings.CREDENTIAL_KEYS = [new, old]
    assert SmppConnector.objects.get().password == "simulator"
    call_command("rotate_credentials")
    assert "1 rows are encrypted with the first key." in capsys.readouterr().out
    assert kept() != with_old

    settings.CREDENTIAL_KEYS = [new]
    connector = SmppConnector.objects.get()
    assert (connector.password, connector.window) == ("simulator", 7)
    settings.CREDENTIAL_KEYS = [old]
    with pytest.raises(CannotDecrypt):
        SmppConnector.objects.get()
