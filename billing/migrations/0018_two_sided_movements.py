"""Holds keep their wallet locked for half as long: movements of two sides are applied by one small statement.

The rules are those of 0016. References of entries need no constraints: their triggers refuse an entry whose movement
or ledger account is missing, and neither is ever deleted.
"""

import django.db.models.deletion
from django.db import migrations, models


REVERSALS = "('refund', 'dispute', 'takeback')"
SPENDING = "('hold', 'credits', 'trial', 'number', 'keyword')"
ALLOWANCE = """CASE WHEN {is_reversal}
            THEN greatest(0, -(a.balance + {moved}) - a.credit_limit - a.overdraft_limit)
            ELSE least(a.debt_allowance, greatest(0, -(a.balance + {moved}) - a.credit_limit - a.overdraft_limit)) END"""
SIDE = "CASE a.id WHEN two.giver THEN -two.amount ELSE two.amount END"

RULES = f"""
-- With the rights of whoever inserts: they suffice, and changing them took longer than the rest. Names are whole, so
-- that no other table can be put in their place.
CREATE OR REPLACE FUNCTION billing_entry_apply() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    -- Whoever moves an account holds its lock until the commit, so its ids and running balances have one order.
    PERFORM FROM public.billing_ledgeraccount WHERE id = NEW.ledger_account_id FOR NO KEY UPDATE;
    NEW.id := nextval('public.billing_ledgerentry_id_seq');
    -- A query of its own sees what was committed while the lock was waited for, and this statement's entries so far.
    -- Of two accounts, one of which has no entries, a planner cannot look for the newest by walking everybody's.
    NEW.balance_after := NEW.amount + coalesce((
        SELECT e.balance_after FROM public.billing_ledgerentry e WHERE e.ledger_account_id IN (0, NEW.ledger_account_id)
        ORDER BY e.ledger_account_id, e.id DESC LIMIT 1), 0);
    RETURN NEW;
END $$;

CREATE OR REPLACE FUNCTION billing_entries_apply() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = public, pg_temp AS $$
DECLARE
    two record;
    header record;
    checked record;
    moved record;
    entry record;
    done bigint[] := '{{}}';
    remaining bigint;
BEGIN
    -- Most movements are one wallet's loss and another account's gain, by themselves in their statement.
    SELECT count(*) AS sides, min(transaction_id) AS id, max(transaction_id) AS last_id, sum(amount) AS total,
        max(amount) AS amount, min(ledger_account_id) FILTER (WHERE amount < 0) AS giver,
        min(ledger_account_id) FILTER (WHERE amount > 0) AS taker
    INTO two FROM fresh;
    IF two.sides = 2 AND two.id = two.last_id AND two.total = 0 AND two.giver <> two.taker THEN
        SELECT currency, created_at = transaction_timestamp() AS is_open, kind IN {REVERSALS} AS is_reversal,
            kind IN {SPENDING} AS is_spending
        INTO header FROM billing_ledgertransaction WHERE id = two.id;
        WITH done AS (
            UPDATE billing_ledgeraccount a SET balance = a.balance + {SIDE},
                debt_allowance = {ALLOWANCE.format(is_reversal="header.is_reversal", moved=SIDE)}
            WHERE a.id IN (two.giver, two.taker)
            RETURNING a.currency = header.currency AS is_own,
                NOT (a.is_frozen AND a.id = two.giver AND header.is_spending) AS may_spend)
        SELECT count(*) = 2 AND bool_and(is_own) AS is_own, bool_and(may_spend) AS may_spend INTO moved FROM done;
        IF (header.is_open AND moved.is_own AND moved.may_spend) IS NOT TRUE THEN
            PERFORM billing_check_moved(two.giver, header.is_open, moved.is_own, moved.may_spend);
        END IF;
        RETURN NULL;
    END IF;

    SELECT sum(sides) AS sides, min(id) FILTER (WHERE total <> 0) AS id, min(total) FILTER (WHERE total <> 0) AS total
    INTO checked
    FROM (SELECT transaction_id AS id, sum(amount) AS total, count(*) AS sides FROM fresh GROUP BY 1) AS t;
    IF checked.id IS NOT NULL THEN
        RAISE EXCEPTION 'ledger transaction % does not balance: %', checked.id, checked.total
            USING ERRCODE = 'check_violation', CONSTRAINT = 'ledger_balanced';
    END IF;
    remaining := coalesce(checked.sides, 0);

    -- A reversal takes what it must, whatever is there; any other movement at most uses a debt's allowance up. Moves in
    -- one direction may be added up: where none but the last passes the floor, the last one does. Headers are looked up
    -- one by one (OFFSET 0): a plan that was made while there were few would read all of them for ever.
    FOR moved IN
        UPDATE billing_ledgeraccount a SET balance = a.balance + m.total,
            debt_allowance = {ALLOWANCE.format(is_reversal="m.is_reversal", moved="m.total")}
        FROM (SELECT e.ledger_account_id AS id, sum(e.amount) AS total, count(*) AS sides,
                  bool_or(t.kind IN {REVERSALS}) AS is_reversal,
                  bool_and(t.created_at IS NOT DISTINCT FROM transaction_timestamp()) AS is_open,
                  min(t.currency) AS first_currency, max(t.currency) AS last_currency,
                  bool_or(e.amount < 0 AND t.kind IN {SPENDING}) AS spends
              FROM fresh e LEFT JOIN LATERAL (
                  SELECT kind, currency, created_at FROM billing_ledgertransaction WHERE id = e.transaction_id OFFSET 0
                  ) t ON true
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

-- Every statement's entries balance by themselves, and none is of nothing: all that is left to find is a header that
-- has none.
CREATE OR REPLACE FUNCTION billing_transaction_balanced() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM billing_ledgerentry WHERE transaction_id = NEW.id) THEN
        RAISE EXCEPTION 'ledger transaction % has no entries', NEW.id
            USING ERRCODE = 'check_violation', CONSTRAINT = 'ledger_balanced';
    END IF;
    RETURN NULL;
END $$;

-- What entries and holds refer to stays, also its id.
CREATE TRIGGER billing_id_stays BEFORE UPDATE OF id ON billing_ledgeraccount
    FOR EACH STATEMENT EXECUTE FUNCTION billing_history_stays();
"""


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0005_fewer_indexes"),
        ("billing", "0017_fewer_indexes"),
    ]

    operations = [
        migrations.AlterField(
            model_name="ledgerentry",
            name="ledger_account",
            field=models.ForeignKey(
                db_constraint=False,
                db_index=False,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="entries",
                to="billing.ledgeraccount",
            ),
        ),
        migrations.AlterField(
            model_name="ledgerentry",
            name="transaction",
            field=models.ForeignKey(
                db_constraint=False,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="entries",
                to="billing.ledgertransaction",
            ),
        ),
        migrations.AlterField(
            model_name="ledgertransaction",
            name="about",
            field=models.ForeignKey(
                db_index=False,
                help_text="Whose activity it is.",
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to="accounts.account",
            ),
        ),
        migrations.RunSQL(RULES, migrations.RunSQL.noop),
    ]
