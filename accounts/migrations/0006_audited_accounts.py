"""That there is the account of an audit entry is looked up once a statement instead of once an entry.

A foreign key locks the account's row for each entry, which is written down in the log. Nothing needs that lock: accounts
are neither deleted nor renumbered (billing/migrations/0021), so an account that there is stays.
"""

import django.db.models.deletion
from django.db import migrations, models

# Each account is looked up by its key, whatever a plan that was made while the table was small would rather do.
CHECK = """
CREATE FUNCTION accounts_audited_exist() RETURNS trigger LANGUAGE plpgsql SET enable_seqscan = off AS $$
DECLARE
    unknown bigint;
BEGIN
    SELECT one.account_id INTO unknown FROM (SELECT DISTINCT account_id FROM fresh) one
    WHERE (SELECT a.id FROM public.accounts_account a WHERE a.id = one.account_id) IS NULL LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'an audit entry is of account %, which there is not', unknown
            USING ERRCODE = 'foreign_key_violation', CONSTRAINT = 'audited_account';
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER accounts_audited_exist_inserted AFTER INSERT ON accounts_auditentry REFERENCING NEW TABLE AS fresh
    FOR EACH STATEMENT EXECUTE FUNCTION accounts_audited_exist();
CREATE TRIGGER accounts_audited_exist_updated AFTER UPDATE ON accounts_auditentry REFERENCING NEW TABLE AS fresh
    FOR EACH STATEMENT EXECUTE FUNCTION accounts_audited_exist();
"""


class Migration(migrations.Migration):
    dependencies = [("accounts", "0005_fewer_indexes"), ("billing", "0021_entries_move_accounts")]

    operations = [
        migrations.AlterField(
            model_name="auditentry",
            name="account",
            field=models.ForeignKey(
                db_constraint=False,
                db_index=False,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="audit_entries",
                to="accounts.account",
            ),
        ),
        migrations.RunSQL(CHECK, migrations.RunSQL.noop),
    ]
