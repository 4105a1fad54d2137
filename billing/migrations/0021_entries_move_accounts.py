"""What a hold does under its wallet's lock, in fewer statements (docs/ledger.md, Speed).

Each entry moves its ledger account by itself again: an entry's lock, the look for the running balance before it and the
statement's own UPDATE are one UPDATE. Movements have few entries, also those of a whole chunk of messages.
"""

import django.db.models.deletion
from django.db import migrations, models

REVERSALS = "('refund', 'dispute', 'takeback')"
SPENDING = "('hold', 'credits', 'trial', 'number', 'keyword')"
DEBT = "greatest(0, -(a.balance + NEW.amount) - a.credit_limit - a.overdraft_limit)"

# A plan that was made while a table was small would read all of it for as long as the connection lasts: hence
# enable_seqscan.
ENTRIES = f"""
CREATE OR REPLACE FUNCTION billing_entry_apply() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = public, pg_temp SET enable_seqscan = off AS $$
DECLARE
    moved record;
BEGIN
    IF NEW.amount = 0 THEN
        RAISE EXCEPTION 'an entry moves something' USING ERRCODE = 'check_violation', CONSTRAINT = 'entry_not_zero';
    END IF;
    -- A reversal takes what it must, whatever is there; any other movement at most uses a debt's allowance up.
    UPDATE billing_ledgeraccount a SET balance = a.balance + NEW.amount,
        debt_allowance = CASE WHEN t.kind IN {REVERSALS} THEN {DEBT} ELSE least(a.debt_allowance, {DEBT}) END
    FROM billing_ledgertransaction t
    WHERE t.id = NEW.transaction_id AND a.id = NEW.ledger_account_id
    RETURNING a.balance, t.created_at = transaction_timestamp() AS is_open, a.currency = t.currency AS is_own,
        NOT (a.is_frozen AND NEW.amount < 0 AND t.kind IN {SPENDING}) AS may_spend
    INTO moved;
    IF (moved.is_open AND moved.is_own AND moved.may_spend) IS NOT TRUE THEN
        PERFORM billing_check_moved(NEW.ledger_account_id, moved.is_open, moved.is_own, moved.may_spend);
    END IF;
    -- Whoever moves an account holds its lock until the commit, so its ids and running balances have one order.
    NEW.id := nextval('billing_ledgerentry_id_seq');
    NEW.balance_after := moved.balance;
    RETURN NEW;
END $$;

DROP TRIGGER billing_entries_apply ON billing_ledgerentry;
DROP FUNCTION billing_entries_apply();
CREATE FUNCTION billing_entries_balanced() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    wrong record;
BEGIN
    SELECT transaction_id AS id, sum(amount) AS total INTO wrong FROM fresh GROUP BY 1 HAVING sum(amount) <> 0 LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'ledger transaction % does not balance: %', wrong.id, wrong.total
            USING ERRCODE = 'check_violation', CONSTRAINT = 'ledger_balanced';
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER billing_entries_balanced AFTER INSERT ON billing_ledgerentry REFERENCING NEW TABLE AS fresh
    FOR EACH STATEMENT EXECUTE FUNCTION billing_entries_balanced();
"""

# Whom a movement is about is looked up without a lock: of all who sent at once, each locked the account's row, which
# is written down in the log and a list of who holds it. So accounts must not go.
HEADERS = """
CREATE OR REPLACE FUNCTION billing_transaction_balanced() RETURNS trigger LANGUAGE plpgsql
    SET enable_seqscan = off AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM public.billing_ledgerentry WHERE transaction_id = NEW.id) THEN
        RAISE EXCEPTION 'ledger transaction % has no entries', NEW.id
            USING ERRCODE = 'check_violation', CONSTRAINT = 'ledger_balanced';
    END IF;
    IF NOT EXISTS (SELECT FROM public.accounts_account WHERE id = NEW.about_id) THEN
        RAISE EXCEPTION 'ledger transaction % is about an account that there is not', NEW.id
            USING ERRCODE = 'foreign_key_violation', CONSTRAINT = 'ledger_about';
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER billing_history_stays BEFORE DELETE OR TRUNCATE ON accounts_account
    FOR EACH STATEMENT EXECUTE FUNCTION billing_history_stays();
CREATE TRIGGER billing_id_stays BEFORE UPDATE OF id ON accounts_account
    FOR EACH STATEMENT EXECUTE FUNCTION billing_history_stays();
"""

HOLDS = """
DROP TRIGGER billing_holds_made ON billing_hold;
DROP FUNCTION billing_holds_made();
CREATE FUNCTION billing_hold_made() RETURNS trigger LANGUAGE plpgsql SET enable_seqscan = off AS $$
DECLARE
    is_right boolean;
BEGIN
    IF NEW.amount = 0 THEN
        is_right := NEW.movement_id IS NULL AND EXISTS (SELECT FROM public.accounts_account WHERE id = NEW.account_id)
            AND EXISTS (SELECT FROM public.accounts_account WHERE id = NEW.payer_id);
    ELSE
        SELECT t.kind = 'hold' AND t.about_id = NEW.account_id AND t.currency = NEW.currency
            AND t.created_at = transaction_timestamp()
        INTO is_right
        FROM public.billing_ledgertransaction t
        JOIN public.billing_ledgeraccount a ON a.owner_id = NEW.payer_id AND a.currency = NEW.currency
            AND a.kind = CASE WHEN NEW.is_subsidy THEN 'subsidy' ELSE 'held' END
        WHERE t.id = NEW.movement_id;
    END IF;
    IF is_right IS NOT TRUE THEN
        RAISE EXCEPTION 'a hold is made with its movement, in a wallet that there is'
            USING ERRCODE = 'check_violation', CONSTRAINT = 'hold_with_movement';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER billing_hold_made BEFORE INSERT ON billing_hold FOR EACH ROW EXECUTE FUNCTION billing_hold_made();

-- In fewer words, which are read and prepared at every statement; it says the same.
ALTER TABLE billing_hold
    DROP CONSTRAINT hold_not_overspent,
    ADD CONSTRAINT hold_not_overspent CHECK (least(captured, released, amount - captured - released) >= 0);
"""


class Migration(migrations.Migration):
    dependencies = [("accounts", "0005_fewer_indexes"), ("billing", "0020_shorter_locks")]

    operations = [
        migrations.AlterField(
            model_name="ledgertransaction",
            name="about",
            field=models.ForeignKey(
                db_constraint=False,
                db_index=False,
                help_text="Whose activity it is.",
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to="accounts.account",
            ),
        ),
        migrations.RemoveConstraint(model_name="ledgerentry", name="entry_not_zero"),
        migrations.RunSQL(ENTRIES + HEADERS + HOLDS, migrations.RunSQL.noop),
    ]
