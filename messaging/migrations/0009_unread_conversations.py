"""Unread conversations are counted on every page and filtered in the inbox."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("messaging", "0008_inbound_repeats_and_http")]

    operations = [
        migrations.AddIndex(
            model_name="conversation",
            index=models.Index(
                fields=["account", "-last_at"], condition=models.Q(("unread__gt", 0)), name="conversation_unread"
            ),
        ),
    ]
