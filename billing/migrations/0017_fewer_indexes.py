"""Drop indexes that nothing reads: each is an entry more for every hold, written while its wallet is locked.

Holds are found by their batch, movements by their whole key; an index of who made a movement is for people, and holds
and settlements have none.
"""

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0004_terms_changes"),
        ("billing", "0016_entries_in_sets"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.AlterField(
            model_name="hold",
            name="account",
            field=models.ForeignKey(
                db_index=False,
                help_text="Who sends.",
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to="accounts.account",
            ),
        ),
        migrations.AlterField(
            model_name="hold",
            name="payer",
            field=models.ForeignKey(
                db_index=False,
                help_text="Whose wallet it is in.",
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to="accounts.account",
            ),
        ),
        migrations.AlterField(
            model_name="ledgertransaction",
            name="actor",
            field=models.ForeignKey(
                blank=True,
                db_index=False,
                null=True,
                on_delete=django.db.models.deletion.SET_NULL,
                related_name="+",
                to=settings.AUTH_USER_MODEL,
            ),
        ),
        migrations.AddIndex(
            model_name="ledgertransaction",
            index=models.Index(
                condition=models.Q(("actor__isnull", False)), fields=["actor"], name="movement_of_a_person"
            ),
        ),
        # Of the unique column, for LIKE; Django makes it by itself and keeps no note of it.
        migrations.RunSQL(
            "DROP INDEX IF EXISTS billing_ledgertransaction_idempotency_key_c013d20a_like", migrations.RunSQL.noop
        ),
    ]
