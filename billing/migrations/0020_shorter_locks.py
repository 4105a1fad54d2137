"""Less to write and to prepare while a wallet is locked (docs/ledger.md, Speed)."""

from django.db import migrations, models

# PostgreSQL reads and prepares a table's checks anew at every statement that changes it: as Django wrote these two, that
# took a sixth of a hold's time under the lock. They say the same.
CHECKS = """
ALTER TABLE billing_ledgeraccount
    DROP CONSTRAINT wallet_floor,
    DROP CONSTRAINT credit_not_negative,
    ADD CONSTRAINT wallet_floor CHECK (
        kind <> ALL ('{wallet,held,subsidy}') OR balance >= -(credit_limit + overdraft_limit + debt_allowance)),
    ADD CONSTRAINT credit_not_negative CHECK (least(credit_limit, overdraft_limit, debt_allowance) >= 0);
"""

# As in 0018, along the index that ascends: what an account's newest entry is put behind stays whole, where a descending
# one was split in halves again and again.
LAST_ENTRY = """
CREATE OR REPLACE FUNCTION billing_entry_apply() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    -- Whoever moves an account holds its lock until the commit, so its ids and running balances have one order.
    PERFORM FROM public.billing_ledgeraccount WHERE id = NEW.ledger_account_id FOR NO KEY UPDATE;
    NEW.id := nextval('public.billing_ledgerentry_id_seq');
    -- A query of its own sees what was committed while the lock was waited for, and this statement's entries so far.
    -- Of two accounts, one of which has no entries, a planner cannot look for the newest by walking everybody's.
    NEW.balance_after := NEW.amount + coalesce((
        SELECT e.balance_after FROM public.billing_ledgerentry e WHERE e.ledger_account_id IN (0, NEW.ledger_account_id)
        ORDER BY e.ledger_account_id DESC, e.id DESC LIMIT 1), 0);
    RETURN NEW;
END $$;
"""


class Migration(migrations.Migration):
    dependencies = [("billing", "0019_holds_with_movements")]

    operations = [
        migrations.AddIndex(
            model_name="ledgerentry",
            index=models.Index(fields=["ledger_account", "id"], name="entry_of_an_account"),
        ),
        migrations.RunSQL(CHECKS + LAST_ENTRY, migrations.RunSQL.noop),
        migrations.RemoveIndex(model_name="ledgerentry", name="billing_led_ledger__9d833c_idx"),
    ]
