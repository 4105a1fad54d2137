"""Counts that reports are made of, and an index of the few messages that fail."""

from typing import Any

import django.db.models.deletion
from django.db import migrations, models

COUNTS = ("messages", "sent", "delivered", "failed", "cancelled", "parts", "captured", "captured_parts")


def _reference(to: str) -> Any:
    return models.ForeignKey(
        db_constraint=False, db_index=False, on_delete=django.db.models.deletion.DO_NOTHING, related_name="+", to=to
    )


def _counts() -> list[tuple[str, Any]]:
    texts = {"parts": {"help_text": "Of what was sent."}}
    return [(name, models.IntegerField(db_default=0, **texts.get(name, {}))) for name in COUNTS]


def _key(*names: str) -> Any:
    return models.CompositePrimaryKey(*names, blank=True, editable=False, primary_key=True, serialize=False)


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0004_terms_changes"),
        ("billing", "0015_entry_ids"),
        ("messaging", "0022_preparations"),
    ]

    operations = [
        migrations.CreateModel(
            name="ReportChange",
            fields=[
                ("account", _reference("accounts.account")),
                ("quote", _reference("billing.quote")),
                *_counts(),
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("quarter", models.DateTimeField()),
            ],
            options={"abstract": False},
        ),
        migrations.CreateModel(
            name="ReportQuarter",
            fields=[
                ("account", _reference("accounts.account")),
                ("quote", _reference("billing.quote")),
                *_counts(),
                ("quarter", models.DateTimeField(help_text="Its beginning.")),
                ("pk", _key("account", "quarter", "quote")),
            ],
            options={"abstract": False},
        ),
        migrations.CreateModel(
            name="ReportZone",
            fields=[
                ("account", _reference("accounts.account")),
                ("zone", models.CharField(max_length=64)),
                ("pk", _key("account", "zone")),
            ],
        ),
        migrations.CreateModel(
            name="ReportDay",
            fields=[
                ("account", _reference("accounts.account")),
                ("quote", _reference("billing.quote")),
                *_counts(),
                ("zone", models.CharField(max_length=64)),
                ("day", models.DateField()),
                ("pk", _key("account", "zone", "day", "quote")),
            ],
            options={"abstract": False},
        ),
        migrations.AddIndex(
            model_name="message",
            index=models.Index(
                condition=models.Q(
                    ("state__in", ["undelivered", "expired", "rejected", "blocked", "cancelled", "failed"])
                ),
                fields=["account", "state", "-id"],
                name="message_failed",
            ),
        ),
    ]
