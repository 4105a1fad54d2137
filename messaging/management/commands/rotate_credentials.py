from typing import Any

from django.apps import apps
from django.core.management.base import BaseCommand
from django.db import models, transaction

from accounts.encryption import EncryptedField


class Command(BaseCommand):
    help = "Encrypts every kept credential anew, with the first key of CREDENTIAL_KEYS; then older keys may go."

    @transaction.atomic
    def handle(self, **options: Any) -> None:
        """Save each row that has one again, without anything else of it."""
        count = 0
        for model in apps.get_models():
            names = [one.name for one in model._meta.get_fields() if isinstance(one, EncryptedField)]
            if names:
                count += _save_again(model, names)
        self.stdout.write(f"{count} rows are encrypted with the first key.")


def _save_again(model: type[models.Model], names: list[str]) -> int:
    rows = list(model._default_manager.select_for_update().only("pk", *names))
    for row in rows:
        row.save(update_fields=names)
    return len(rows)
