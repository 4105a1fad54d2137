"""Nobody looks for batches by a part of their code; codes are random, so an entry for each was a page for each."""

from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("messaging", "0034_released_at_once")]

    operations = [
        # Of the unique column, for LIKE; Django makes it by itself and keeps no note of it.
        migrations.RunSQL("DROP INDEX IF EXISTS messaging_batch_code_b9c9c648_like", migrations.RunSQL.noop),
    ]
