"""That there are the accounts of a batch is looked up once a statement instead of twice a batch.

A foreign key locks the account's row for each batch, which is written down in the log. Nothing needs that lock: accounts
are neither deleted nor renumbered (billing/migrations/0021), so an account that there is stays.
"""

import django.db.models.deletion
from django.db import migrations, models

# Each account is looked up by its key, whatever a plan that was made while the table was small would rather do.
CHECK = """
CREATE FUNCTION messaging_accounts_exist() RETURNS trigger LANGUAGE plpgsql SET enable_seqscan = off AS $$
DECLARE
    unknown bigint;
BEGIN
    SELECT one.account_id INTO unknown FROM (SELECT account_id FROM fresh UNION SELECT payer_id FROM fresh) one
    WHERE (SELECT a.id FROM public.accounts_account a WHERE a.id = one.account_id) IS NULL LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'a batch is of account %, which there is not', unknown
            USING ERRCODE = 'foreign_key_violation', CONSTRAINT = 'batch_account';
    END IF;
    RETURN NULL;
END $$;
CREATE FUNCTION messaging_account_exists() RETURNS trigger LANGUAGE plpgsql SET enable_seqscan = off AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM public.accounts_account WHERE id = NEW.account_id)
        OR NOT EXISTS (SELECT FROM public.accounts_account WHERE id = NEW.payer_id)
    THEN
        RAISE EXCEPTION 'a batch is of account % and paid by %, which there are not', NEW.account_id, NEW.payer_id
            USING ERRCODE = 'foreign_key_violation', CONSTRAINT = 'batch_account';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER messaging_accounts_exist AFTER INSERT ON messaging_batch REFERENCING NEW TABLE AS fresh
    FOR EACH STATEMENT EXECUTE FUNCTION messaging_accounts_exist();
CREATE TRIGGER messaging_account_exists BEFORE UPDATE OF account_id, payer_id ON messaging_batch
    FOR EACH ROW EXECUTE FUNCTION messaging_account_exists();
"""


class Migration(migrations.Migration):
    dependencies = [("messaging", "0032_words_of_routes"), ("billing", "0021_entries_move_accounts")]

    operations = [
        migrations.AlterField(
            model_name="batch",
            name="account",
            field=models.ForeignKey(
                db_constraint=False,
                db_index=False,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="batches",
                to="accounts.account",
            ),
        ),
        migrations.AlterField(
            model_name="batch",
            name="payer",
            field=models.ForeignKey(
                db_constraint=False,
                db_index=False,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to="accounts.account",
            ),
        ),
        migrations.RunSQL(CHECK, migrations.RunSQL.noop),
    ]
