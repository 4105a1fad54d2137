"""What the holds of one statement have in common is checked once, not for each (docs/ledger.md, Speed).

Single messages that are accepted together bring fifty holds of a few movements: the same movement, sender and wallet
were looked up for each of them.
"""

from django.db import migrations

# Each is looked up by its key, whatever a plan that was made while the tables were small would rather do.
CHECK = """
CREATE FUNCTION billing_holds_made() RETURNS trigger LANGUAGE plpgsql SET enable_seqscan = off AS $$
BEGIN
    PERFORM FROM (
        SELECT DISTINCT movement_id, account_id, payer_id, currency, is_subsidy, amount = 0 AS is_free FROM fresh) h
    WHERE CASE
        WHEN h.is_free THEN h.movement_id IS NULL
            AND (SELECT a.id FROM public.accounts_account a WHERE a.id = h.account_id) IS NOT NULL
            AND (SELECT a.id FROM public.accounts_account a WHERE a.id = h.payer_id) IS NOT NULL
        ELSE (SELECT t.id FROM public.billing_ledgertransaction t
              WHERE t.id = h.movement_id AND t.kind = 'hold' AND t.about_id = h.account_id AND t.currency = h.currency
                AND t.created_at = transaction_timestamp()) IS NOT NULL
            AND (SELECT a.id FROM public.billing_ledgeraccount a
                 WHERE a.owner_id = h.payer_id AND a.currency = h.currency
                   AND a.kind = CASE WHEN h.is_subsidy THEN 'subsidy' ELSE 'held' END) IS NOT NULL
        END IS NOT TRUE LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'a hold is made with its movement, in a wallet that there is'
            USING ERRCODE = 'check_violation', CONSTRAINT = 'hold_with_movement';
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER billing_holds_made AFTER INSERT ON billing_hold REFERENCING NEW TABLE AS fresh
    FOR EACH STATEMENT EXECUTE FUNCTION billing_holds_made();
DROP TRIGGER billing_hold_made ON billing_hold;
DROP FUNCTION billing_hold_made();
"""


class Migration(migrations.Migration):
    dependencies = [("billing", "0022_country_of_credits")]

    operations = [migrations.RunSQL(CHECK, migrations.RunSQL.noop)]
