"""A statement's entries move each ledger account once, however many there are (docs/ledger.md, Speed).

Moving an account entry by entry read its CHECKs from the catalogue for each, which was most of what an entry cost. The
rules are those of 0015 and 0007, with one that is stricter: the entries of a movement come in one statement, which
balances by itself.
"""

from django.db import migrations

REVERSALS = "('refund', 'dispute', 'takeback')"
SPENDING = "('hold', 'credits', 'trial', 'number', 'keyword')"
ALLOWANCE = """CASE WHEN {is_reversal}
            THEN greatest(0, -(a.balance + {moved}) - a.credit_limit - a.overdraft_limit)
            ELSE least(a.debt_allowance, greatest(0, -(a.balance + {moved}) - a.credit_limit - a.overdraft_limit)) END"""

RULES = f"""
CREATE OR REPLACE FUNCTION billing_entry_apply() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = public, pg_temp AS $$
BEGIN
    -- Whoever moves an account holds its lock until the commit, so its ids and running balances have one order.
    PERFORM FROM billing_ledgeraccount WHERE id = NEW.ledger_account_id FOR NO KEY UPDATE;
    NEW.id := nextval('billing_ledgerentry_id_seq');
    -- A query of its own sees what was committed while the lock was waited for, and this statement's entries so far.
    -- Of two accounts, one of which has no entries, a planner cannot look for the newest by walking everybody's.
    NEW.balance_after := NEW.amount + coalesce((
        SELECT e.balance_after FROM billing_ledgerentry e WHERE e.ledger_account_id IN (0, NEW.ledger_account_id)
        ORDER BY e.ledger_account_id, e.id DESC LIMIT 1), 0);
    RETURN NEW;
END $$;

CREATE FUNCTION billing_check_moved(account bigint, is_open boolean, is_own_currency boolean, may_spend boolean)
    RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF is_open IS NOT TRUE THEN
        RAISE EXCEPTION 'entries can be added to a ledger transaction only while it is made'
            USING ERRCODE = 'check_violation', CONSTRAINT = 'ledger_transaction_closed';
    END IF;
    IF is_own_currency IS NOT TRUE THEN
        RAISE EXCEPTION 'a ledger transaction has one currency'
            USING ERRCODE = 'check_violation', CONSTRAINT = 'ledger_one_currency';
    END IF;
    IF may_spend IS NOT TRUE THEN
        RAISE EXCEPTION 'wallet_frozen: nothing can be spent from ledger account %', account
            USING ERRCODE = 'check_violation', CONSTRAINT = 'wallet_frozen';
    END IF;
END $$;

CREATE FUNCTION billing_entries_apply() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = public, pg_temp AS $$
DECLARE
    checked record;
    moved record;
    entry record;
    done bigint[] := '{{}}';
    remaining bigint;
BEGIN
    SELECT sum(sides) AS sides, min(id) FILTER (WHERE total <> 0) AS id, min(total) FILTER (WHERE total <> 0) AS total
    INTO checked
    FROM (SELECT transaction_id AS id, sum(amount) AS total, count(*) AS sides FROM fresh GROUP BY 1) AS t;
    IF checked.id IS NOT NULL THEN
        RAISE EXCEPTION 'ledger transaction % does not balance: %', checked.id, checked.total
            USING ERRCODE = 'check_violation', CONSTRAINT = 'ledger_balanced';
    END IF;
    remaining := coalesce(checked.sides, 0);

    -- A reversal takes what it must, whatever is there; any other movement at most uses a debt's allowance up. Moves in
    -- one direction may be added up: where none but the last passes the floor, the last one does.
    FOR moved IN
        UPDATE billing_ledgeraccount a SET balance = a.balance + m.total,
            debt_allowance = {ALLOWANCE.format(is_reversal="m.is_reversal", moved="m.total")}
        FROM (SELECT e.ledger_account_id AS id, sum(e.amount) AS total, count(*) AS sides,
                  bool_or(t.kind IN {REVERSALS}) AS is_reversal,
                  bool_and(t.created_at IS NOT DISTINCT FROM transaction_timestamp()) AS is_open,
                  min(t.currency) AS first_currency, max(t.currency) AS last_currency,
                  bool_or(e.amount < 0 AND t.kind IN {SPENDING}) AS spends
              FROM fresh e LEFT JOIN billing_ledgertransaction t ON t.id = e.transaction_id
              GROUP BY 1
              HAVING count(*) = 1
                  OR (bool_or(t.kind IN {REVERSALS}) IS NOT TRUE AND (max(e.amount) < 0 OR min(e.amount) > 0))
             ) m
        WHERE a.id = m.id
        RETURNING a.id, m.sides, m.is_open, a.currency = m.first_currency AND a.currency = m.last_currency AS is_own,
            NOT (a.is_frozen AND m.spends) AS may_spend
    LOOP
        PERFORM billing_check_moved(moved.id, moved.is_open, moved.is_own, moved.may_spend);
        done := done || moved.id;
        remaining := remaining - moved.sides;
    END LOOP;
    IF remaining = 0 THEN
        RETURN NULL;
    END IF;

    -- What moves forth and back, or is reversed beside other moves, goes entry by entry.
    FOR entry IN
        SELECT e.ledger_account_id, e.amount, t.kind, t.currency, t.created_at
        FROM fresh e LEFT JOIN billing_ledgertransaction t ON t.id = e.transaction_id
        WHERE e.ledger_account_id <> ALL (done)
        ORDER BY e.id
    LOOP
        UPDATE billing_ledgeraccount a SET balance = a.balance + entry.amount,
            debt_allowance = {ALLOWANCE.format(is_reversal=f"entry.kind IN {REVERSALS}", moved="entry.amount")}
        WHERE a.id = entry.ledger_account_id RETURNING a.id, a.currency, a.is_frozen INTO moved;
        PERFORM billing_check_moved(moved.id, entry.created_at IS NOT DISTINCT FROM transaction_timestamp(),
            moved.currency = entry.currency,
            NOT (moved.is_frozen AND entry.amount < 0 AND entry.kind IN {SPENDING}));
    END LOOP;
    RETURN NULL;
END $$;
CREATE TRIGGER billing_entries_apply AFTER INSERT ON billing_ledgerentry REFERENCING NEW TABLE AS fresh
    FOR EACH STATEMENT EXECUTE FUNCTION billing_entries_apply();

-- Every statement balances by itself now, early checks of the header or not.
DROP TRIGGER billing_entries_balanced ON billing_ledgerentry;
DROP FUNCTION billing_entries_balanced();
"""


class Migration(migrations.Migration):
    dependencies = [("billing", "0015_entry_ids")]

    operations = [migrations.RunSQL(RULES, migrations.RunSQL.noop)]
