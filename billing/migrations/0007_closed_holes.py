"""Close what raw SQL could still do: debts by hand, late entries, holds and lots that shrink, credit on top of a debt."""

from django.db import migrations

RULES = """
-- An allowed debt is made by reversals only; opened with one, a wallet could be overspent.
CREATE OR REPLACE FUNCTION billing_account_opens_empty() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.balance <> 0 OR NEW.debt_allowance <> 0 THEN
        RAISE EXCEPTION 'a ledger account opens with a balance of zero'
            USING ERRCODE = 'check_violation', CONSTRAINT = 'ledger_account_opens_empty';
    END IF;
    RETURN NEW;
END $$;

-- Exactly what is missing, also when a limit is raised while its account is in debt: keeping the old allowance beside
-- the new limit would let the account spend the limit although it does not cover the debt.
CREATE OR REPLACE FUNCTION billing_limit_lowered() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.debt_allowance := greatest(0, -NEW.balance - NEW.credit_limit - NEW.overdraft_limit);
    RETURN NEW;
END $$;

-- The check of the header alone can be made early (SET CONSTRAINTS … IMMEDIATE); entries after it need their own.
CREATE FUNCTION billing_entries_balanced() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    total numeric;
BEGIN
    SELECT sum(amount) INTO total FROM billing_ledgerentry WHERE transaction_id = NEW.transaction_id;
    IF total <> 0 THEN
        RAISE EXCEPTION 'ledger transaction % does not balance: %', NEW.transaction_id, total
            USING ERRCODE = 'check_violation', CONSTRAINT = 'ledger_balanced';
    END IF;
    RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER billing_entries_balanced AFTER INSERT ON billing_ledgerentry
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION billing_entries_balanced();

CREATE FUNCTION billing_only_grows() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% of % is refused: what was settled or taken back stays so, the ledger is append-only',
        TG_OP, TG_TABLE_NAME USING ERRCODE = 'insufficient_privilege';
END $$;
CREATE TRIGGER billing_only_grows BEFORE UPDATE ON billing_hold FOR EACH ROW
    WHEN (NEW.captured < OLD.captured OR NEW.released < OLD.released) EXECUTE FUNCTION billing_only_grows();
CREATE TRIGGER billing_only_grows BEFORE UPDATE ON billing_creditlot FOR EACH ROW
    WHEN (NEW.taken_back < OLD.taken_back) EXECUTE FUNCTION billing_only_grows();
CREATE TRIGGER billing_history_stays BEFORE DELETE OR TRUNCATE ON billing_creditlot
    FOR EACH STATEMENT EXECUTE FUNCTION billing_history_stays();
"""


class Migration(migrations.Migration):
    dependencies = [("billing", "0006_trial_invoice_notices")]

    operations = [migrations.RunSQL(RULES, migrations.RunSQL.noop)]
