"""SMS credits are bought at the price of a country and send there only, so the country stays as long as there are any.

Who transfers credits locks the account's row first (billing/services/credits.py): either this sees them, or they are
bought at the price of the new country.
"""

from django.db import migrations

RULE = """
CREATE FUNCTION billing_country_stays() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT FROM public.billing_ledgeraccount
               WHERE owner_id = NEW.id AND currency = 'SMS' AND kind IN ('wallet', 'held') AND balance <> 0) THEN
        RAISE EXCEPTION 'credits_keep_country: account % has SMS credits', NEW.id
            USING ERRCODE = 'check_violation', CONSTRAINT = 'credits_keep_country';
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER billing_country_stays AFTER UPDATE OF country ON accounts_account FOR EACH ROW
    WHEN (NEW.country IS DISTINCT FROM OLD.country) EXECUTE FUNCTION billing_country_stays();
"""
UNDO = "DROP TRIGGER billing_country_stays ON accounts_account; DROP FUNCTION billing_country_stays();"


class Migration(migrations.Migration):
    dependencies = [("accounts", "0006_audited_accounts"), ("billing", "0021_entries_move_accounts")]

    operations = [migrations.RunSQL(RULE, UNDO)]
