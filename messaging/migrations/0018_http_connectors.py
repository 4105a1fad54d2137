"""Connectors over HTTP; passwords of SMPP connectors are encrypted from now on."""

from typing import Any

import accounts.encryption
import django.core.validators
import django.db.models.deletion
from django.db import migrations, models


def encrypt_passwords(apps: Any, schema_editor: Any) -> None:
    """What stood there was plain."""
    with schema_editor.connection.cursor() as cursor:
        cursor.execute("SELECT id, password FROM messaging_smppconnector WHERE password <> ''")
        for key, password in cursor.fetchall():
            cursor.execute(
                "UPDATE messaging_smppconnector SET password = %s WHERE id = %s",
                [accounts.encryption.encrypt(password), key],
            )


def decrypt_passwords(apps: Any, schema_editor: Any) -> None:
    """The way back."""
    with schema_editor.connection.cursor() as cursor:
        cursor.execute("SELECT id, password FROM messaging_smppconnector WHERE password <> ''")
        for key, password in cursor.fetchall():
            cursor.execute(
                "UPDATE messaging_smppconnector SET password = %s WHERE id = %s",
                [accounts.encryption.decrypt(password), key],
            )


class Migration(migrations.Migration):
    dependencies = [
        ("messaging", "0017_unknown_messages"),
    ]

    operations = [
        migrations.AlterField(
            model_name="smppconnector",
            name="password",
            field=accounts.encryption.EncryptedField(blank=True),
        ),
        migrations.CreateModel(
            name="HttpConnector",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "preset",
                    models.CharField(
                        choices=[
                            ("custom", "Own"),
                            ("kannel", "Kannel sendsms"),
                            ("transmit", "TransmitSMS send-sms.json"),
                        ],
                        default="custom",
                        max_length=10,
                    ),
                ),
                ("is_enabled", models.BooleanField(default=True, verbose_name="enabled")),
                ("url", models.CharField(max_length=500, verbose_name="URL")),
                ("method", models.CharField(choices=[("GET", "GET"), ("POST", "POST")], default="POST", max_length=4)),
                (
                    "body",
                    models.CharField(
                        choices=[("query", "Parameters in the address"), ("form", "Form"), ("json", "JSON")],
                        default="form",
                        max_length=5,
                    ),
                ),
                ("parameters", models.JSONField(default=dict, help_text="JSON; the texts in it are templates.")),
                (
                    "headers",
                    accounts.encryption.EncryptedField(
                        blank=True, help_text="One a line, such as Authorization: Bearer 123."
                    ),
                ),
                ("username", models.CharField(blank=True, max_length=100)),
                ("password", accounts.encryption.EncryptedField(blank=True)),
                (
                    "uses_basic_auth",
                    models.BooleanField(
                        default=False, help_text="With user and password.", verbose_name="basic authentication"
                    ),
                ),
                (
                    "window",
                    models.PositiveSmallIntegerField(
                        default=10,
                        help_text="Requests on their way at once.",
                        validators=[
                            django.core.validators.MinValueValidator(1),
                            django.core.validators.MaxValueValidator(500),
                        ],
                    ),
                ),
                (
                    "timeout_seconds",
                    models.PositiveSmallIntegerField(
                        default=20,
                        help_text="An answer that comes later is lost: the message becomes unknown and is not sent again.",
                        validators=[
                            django.core.validators.MinValueValidator(1),
                            django.core.validators.MaxValueValidator(120),
                        ],
                    ),
                ),
                (
                    "success_path",
                    models.CharField(blank=True, help_text="Empty = every answer 2xx is a yes.", max_length=200),
                ),
                (
                    "success_values",
                    models.CharField(
                        blank=True,
                        help_text="What stands there for yes, separated by commas; empty = anything.",
                        max_length=200,
                    ),
                ),
                (
                    "id_path",
                    models.CharField(blank=True, help_text="The carrier's id; empty = ours is used.", max_length=200),
                ),
                ("error_path", models.CharField(blank=True, help_text="The code of a refusal.", max_length=200)),
                (
                    "retry_codes",
                    models.CharField(
                        blank=True,
                        help_text="Codes of a refusal that say “later”, separated by commas.",
                        max_length=300,
                    ),
                ),
                (
                    "retry_statuses",
                    models.CharField(
                        blank=True, default="429,503", help_text="HTTP statuses that say “later”.", max_length=100
                    ),
                ),
                ("receipt_secret", accounts.encryption.EncryptedField(blank=True, editable=False)),
                (
                    "receipt_list_field",
                    models.CharField(
                        blank=True,
                        help_text="Of JSON: where the list of receipts stands; empty = one a call.",
                        max_length=60,
                    ),
                ),
                ("receipt_id_field", models.CharField(blank=True, default="id", max_length=60)),
                ("receipt_status_field", models.CharField(blank=True, default="status", max_length=60)),
                ("receipt_error_field", models.CharField(blank=True, max_length=60)),
                ("receipt_recipient_field", models.CharField(blank=True, max_length=60)),
                (
                    "receipt_statuses",
                    models.JSONField(
                        blank=True,
                        default=dict,
                        help_text='The carrier\'s words for DELIVRD, UNDELIV, EXPIRED, REJECTD, ACCEPTD and ENROUTE: {"delivered": "DELIVRD"}. Other words mean: on its way.',
                    ),
                ),
                ("changed_at", models.DateTimeField(auto_now=True)),
                (
                    "route",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.CASCADE, related_name="http_connector", to="messaging.route"
                    ),
                ),
            ],
            options={
                "verbose_name": "HTTP connector",
            },
        ),
        migrations.RunPython(encrypt_passwords, decrypt_passwords),
    ]
