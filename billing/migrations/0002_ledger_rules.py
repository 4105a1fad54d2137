"""The ledger's rules in the database: balances move by entries only, entries balance, history stays (docs/ledger.md)."""

from django.conf import settings
from django.db import migrations

# The trigger functions run as the owner of the tables (SECURITY DEFINER): the application's role may insert entries
# but has no right to write a balance itself.
RULES = """
CREATE FUNCTION billing_entry_apply() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = public, pg_temp AS $$
DECLARE
    moved record;
    header record;
BEGIN
    SELECT currency, created_at INTO header FROM billing_ledgertransaction WHERE id = NEW.transaction_id;
    IF header.created_at IS DISTINCT FROM transaction_timestamp() THEN
        RAISE EXCEPTION 'entries can be added to a ledger transaction only while it is made'
            USING ERRCODE = 'check_violation', CONSTRAINT = 'ledger_transaction_closed';
    END IF;
    UPDATE billing_ledgeraccount SET balance = balance + NEW.amount WHERE id = NEW.ledger_account_id
        RETURNING balance, currency INTO moved;
    IF moved.currency IS DISTINCT FROM header.currency THEN
        RAISE EXCEPTION 'a ledger transaction has one currency'
            USING ERRCODE = 'check_violation', CONSTRAINT = 'ledger_one_currency';
    END IF;
    -- The row lock is held since the update, so ids and running balances of one ledger account have one order.
    NEW.id := nextval(pg_get_serial_sequence('billing_ledgerentry', 'id'));
    NEW.balance_after := moved.balance;
    RETURN NEW;
END $$;
CREATE TRIGGER billing_entry_apply BEFORE INSERT ON billing_ledgerentry
    FOR EACH ROW EXECUTE FUNCTION billing_entry_apply();

CREATE FUNCTION billing_transaction_balanced() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    total numeric;
    sides integer;
BEGIN
    SELECT coalesce(sum(amount), 0), count(*) INTO total, sides FROM billing_ledgerentry WHERE transaction_id = NEW.id;
    IF total <> 0 OR sides < 2 THEN
        RAISE EXCEPTION 'ledger transaction % does not balance: % over % entries', NEW.id, total, sides
            USING ERRCODE = 'check_violation', CONSTRAINT = 'ledger_balanced';
    END IF;
    RETURN NULL;
END $$;
-- Once a transaction, at commit; entries cannot come later, as billing_entry_apply refuses them.
CREATE CONSTRAINT TRIGGER billing_transaction_balanced AFTER INSERT ON billing_ledgertransaction
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION billing_transaction_balanced();

CREATE FUNCTION billing_history_stays() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% of % is refused: the ledger is append-only', TG_OP, TG_TABLE_NAME
        USING ERRCODE = 'insufficient_privilege';
END $$;
CREATE TRIGGER billing_history_stays BEFORE UPDATE OR DELETE OR TRUNCATE ON billing_ledgerentry
    FOR EACH STATEMENT EXECUTE FUNCTION billing_history_stays();
CREATE TRIGGER billing_history_stays BEFORE UPDATE OR DELETE OR TRUNCATE ON billing_ledgertransaction
    FOR EACH STATEMENT EXECUTE FUNCTION billing_history_stays();
CREATE TRIGGER billing_history_stays BEFORE DELETE OR TRUNCATE ON billing_ledgeraccount
    FOR EACH STATEMENT EXECUTE FUNCTION billing_history_stays();
CREATE TRIGGER billing_history_stays BEFORE DELETE OR TRUNCATE ON billing_hold
    FOR EACH STATEMENT EXECUTE FUNCTION billing_history_stays();
CREATE TRIGGER billing_history_stays BEFORE UPDATE OR DELETE OR TRUNCATE ON billing_quote
    FOR EACH STATEMENT EXECUTE FUNCTION billing_history_stays();

CREATE FUNCTION billing_account_opens_empty() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.balance <> 0 THEN
        RAISE EXCEPTION 'a ledger account opens with a balance of zero'
            USING ERRCODE = 'check_violation', CONSTRAINT = 'ledger_account_opens_empty';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER billing_account_opens_empty BEFORE INSERT ON billing_ledgeraccount
    FOR EACH ROW EXECUTE FUNCTION billing_account_opens_empty();
"""

PRIVILEGES = """
DO $$ BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = '{role}') THEN
        REVOKE UPDATE, DELETE, TRUNCATE ON billing_ledgerentry, billing_ledgertransaction, billing_ledgeraccount,
            billing_quote FROM {role};
        GRANT UPDATE (credit_limit) ON billing_ledgeraccount TO {role};
        REVOKE UPDATE, DELETE, TRUNCATE ON billing_hold FROM {role};
        GRANT UPDATE (captured, released) ON billing_hold TO {role};
    END IF;
END $$;
""".format(role=settings.DATABASE_APP_ROLE)


class Migration(migrations.Migration):
    dependencies = [("billing", "0001_initial"), ("accounts", "0002_tree")]

    operations = [
        migrations.RunSQL(RULES, migrations.RunSQL.noop),
        migrations.RunSQL(PRIVILEGES, migrations.RunSQL.noop),
    ]
