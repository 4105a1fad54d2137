"""Notes of the transactions that change accounts, terms or routes (accounts/services/changes.py)."""

from django.db import migrations

NOTES = """
CREATE TABLE accounts_termschange (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    xid xid8 NOT NULL DEFAULT pg_current_xact_id(),
    noted_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX accounts_termschange_xid ON accounts_termschange (xid);

CREATE FUNCTION accounts_note_terms_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO accounts_termschange DEFAULT VALUES;
    RETURN NULL;
END $$;

-- Other rooms' migrations call this for their tables.
CREATE FUNCTION accounts_watch_terms(target regclass) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('CREATE TRIGGER note_terms_change AFTER INSERT OR UPDATE OR DELETE ON %s'
                   ' FOR EACH STATEMENT EXECUTE FUNCTION accounts_note_terms_change()', target);
END $$;
SELECT accounts_watch_terms('accounts_account');
"""
UNDO = """
DROP TRIGGER note_terms_change ON accounts_account;
DROP FUNCTION accounts_watch_terms(regclass);
DROP FUNCTION accounts_note_terms_change();
DROP TABLE accounts_termschange;
"""


class Migration(migrations.Migration):
    dependencies = [("accounts", "0003_mail_reply_to")]

    operations = [migrations.RunSQL(NOTES, UNDO)]
