"""Reversals may go below a wallet's floor, frozen wallets spend nothing, lowered limits leave a debt, not an error."""

from django.conf import settings
from django.db import migrations

RULES = """
CREATE OR REPLACE FUNCTION billing_entry_apply() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = public, pg_temp AS $$
DECLARE
    moved record;
    header record;
BEGIN
    SELECT kind, currency, created_at INTO header FROM billing_ledgertransaction WHERE id = NEW.transaction_id;
    IF header.created_at IS DISTINCT FROM transaction_timestamp() THEN
        RAISE EXCEPTION 'entries can be added to a ledger transaction only while it is made'
            USING ERRCODE = 'check_violation', CONSTRAINT = 'ledger_transaction_closed';
    END IF;
    -- A reversal takes what it must, whatever is there; any other movement at most uses a debt's allowance up.
    UPDATE billing_ledgeraccount a SET balance = a.balance + NEW.amount,
        debt_allowance = CASE
            WHEN header.kind IN ('refund', 'dispute', 'takeback')
            THEN greatest(0, -(a.balance + NEW.amount) - a.credit_limit - a.overdraft_limit)
            ELSE least(a.debt_allowance, greatest(0, -(a.balance + NEW.amount) - a.credit_limit - a.overdraft_limit))
        END
        WHERE a.id = NEW.ledger_account_id RETURNING a.balance, a.currency, a.is_frozen INTO moved;
    IF moved.currency IS DISTINCT FROM header.currency THEN
        RAISE EXCEPTION 'a ledger transaction has one currency'
            USING ERRCODE = 'check_violation', CONSTRAINT = 'ledger_one_currency';
    END IF;
    IF moved.is_frozen AND NEW.amount < 0 AND header.kind IN ('hold', 'credits', 'trial') THEN
        RAISE EXCEPTION 'wallet_frozen: nothing can be spent from ledger account %', NEW.ledger_account_id
            USING ERRCODE = 'check_violation', CONSTRAINT = 'wallet_frozen';
    END IF;
    -- The row lock is held since the update, so ids and running balances of one ledger account have one order.
    NEW.id := nextval(pg_get_serial_sequence('billing_ledgerentry', 'id'));
    NEW.balance_after := moved.balance;
    RETURN NEW;
END $$;

-- Credit that ends while it is used leaves a debt: the account cannot spend, and the change is not refused.
CREATE FUNCTION billing_limit_lowered() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.debt_allowance := greatest(NEW.debt_allowance, 0, -NEW.balance - NEW.credit_limit - NEW.overdraft_limit);
    IF NEW.balance >= -NEW.credit_limit - NEW.overdraft_limit THEN
        NEW.debt_allowance := 0;
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER billing_limit_lowered BEFORE UPDATE OF credit_limit, overdraft_limit ON billing_ledgeraccount
    FOR EACH ROW WHEN (OLD.kind = 'wallet') EXECUTE FUNCTION billing_limit_lowered();
"""

PRIVILEGES = """
DO $$ BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = '{role}') THEN
        GRANT UPDATE (credit_limit, overdraft_limit, is_frozen) ON billing_ledgeraccount TO {role};
        REVOKE DELETE, UPDATE, TRUNCATE ON billing_creditlot FROM {role};
        GRANT UPDATE (taken_back) ON billing_creditlot TO {role};
    END IF;
END $$;
""".replace("{role}", settings.DATABASE_APP_ROLE)


class Migration(migrations.Migration):
    dependencies = [("billing", "0003_credits")]

    operations = [
        migrations.RunSQL(RULES, migrations.RunSQL.noop),
        migrations.RunSQL(PRIVILEGES, migrations.RunSQL.noop),
    ]
