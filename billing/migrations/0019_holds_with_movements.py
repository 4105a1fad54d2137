"""Holds of batches that are accepted together are one movement for each sender and payer, which every hold names.

What a hold checks and writes comes before its wallet is locked (docs/ledger.md, Speed).
"""

import django.db.models.deletion
from django.db import migrations, models


RULES = """
UPDATE billing_hold h SET movement_id = t.id FROM billing_ledgertransaction t
WHERE t.idempotency_key = 'hold:' || h.batch_id AND h.amount <> 0;

-- In the place of foreign keys, and stricter: a hold is made together with its movement, of the same sender and
-- currency, and in a wallet that there is.
CREATE FUNCTION billing_holds_made() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (
        SELECT FROM fresh h
        LEFT JOIN LATERAL (
            SELECT kind, about_id, currency, created_at FROM public.billing_ledgertransaction
            WHERE id = h.movement_id OFFSET 0) t ON true
        WHERE CASE WHEN h.amount = 0 THEN h.movement_id IS NOT NULL
                OR (SELECT count(*) FROM public.accounts_account WHERE id IN (h.account_id, h.payer_id))
                    <> CASE h.payer_id WHEN h.account_id THEN 1 ELSE 2 END
            ELSE (t.kind, t.about_id, t.currency, t.created_at)
                    IS DISTINCT FROM ('hold'::varchar, h.account_id, h.currency, transaction_timestamp())
                OR NOT EXISTS (
                    SELECT FROM public.billing_ledgeraccount a WHERE a.owner_id = h.payer_id AND a.currency = h.currency
                    AND a.kind = CASE WHEN h.is_subsidy THEN 'subsidy' ELSE 'held' END) END)
    THEN
        RAISE EXCEPTION 'a hold is made with its movement, in a wallet that there is'
            USING ERRCODE = 'check_violation', CONSTRAINT = 'hold_with_movement';
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER billing_holds_made AFTER INSERT ON billing_hold REFERENCING NEW TABLE AS fresh
    FOR EACH STATEMENT EXECUTE FUNCTION billing_holds_made();

-- What a movement is about is checked when it is written, before its wallets are locked; deferred, it was at the commit.
DO $$ DECLARE
    found record;
BEGIN
    FOR found IN SELECT conname FROM pg_constraint WHERE conrelid = 'billing_ledgertransaction'::regclass AND contype = 'f'
    LOOP
        EXECUTE format(
            'ALTER TABLE billing_ledgertransaction ALTER CONSTRAINT %I DEFERRABLE INITIALLY IMMEDIATE', found.conname);
    END LOOP;
END $$;

-- A hold is three statements, of which only the last locks the wallet; as one, all their checks came after the lock.
-- They run with the rights and under the rules of whoever calls. NULL, with nothing written, where one of the payer's
-- ledger accounts is missing; else the id of the payer's hold, or of one of them.
CREATE FUNCTION billing_hold_one(
    batch uuid, sender bigint, payer bigint, unit text, price numeric, code text, messages integer, person bigint
) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    wallet bigint;
    held bigint;
    made bigint;
    header bigint;
BEGIN
    SELECT min(id) FILTER (WHERE kind = 'wallet'), min(id) FILTER (WHERE kind = 'held') INTO wallet, held
    FROM billing_ledgeraccount WHERE owner_id = payer AND currency = unit AND kind IN ('wallet', 'held');
    IF wallet IS NULL OR held IS NULL THEN
        RETURN NULL;
    END IF;
    INSERT INTO billing_ledgertransaction
        (kind, idempotency_key, currency, about_id, reference, description, quantity, actor_id)
    VALUES ('hold', 'hold:' || batch, unit, sender, code, '', messages, person) RETURNING id INTO header;
    INSERT INTO billing_hold
        (batch_id, account_id, payer_id, movement_id, currency, amount, is_subsidy, captured, released, created_at)
    VALUES (batch, sender, payer, header, unit, price, false, 0, 0, transaction_timestamp()) RETURNING id INTO made;
    IF wallet < held THEN
        INSERT INTO billing_ledgerentry (transaction_id, ledger_account_id, amount)
        VALUES (header, wallet, -price), (header, held, price);
    ELSE
        INSERT INTO billing_ledgerentry (transaction_id, ledger_account_id, amount)
        VALUES (header, held, price), (header, wallet, -price);
    END IF;
    RETURN made;
END $$;

-- The same of several movements, each for one batch or several of one sender and payer. Holds name their movement by
-- its place in the first arrays.
CREATE FUNCTION billing_hold_many(
    keys text[], senders bigint[], units text[], codes text[], messages integer[], people bigint[],
    places integer[], batches uuid[], owners bigint[], amounts numeric[], subsidies boolean[]
) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    headers bigint[];
    found bigint;
    made bigint;
BEGIN
    SELECT count(*) INTO found
    FROM unnest(places, owners, subsidies) AS s(place, owner, is_subsidy)
    JOIN billing_ledgeraccount a ON a.owner_id = s.owner AND a.currency = units[s.place]
        AND a.kind IN ('wallet', CASE WHEN s.is_subsidy THEN 'subsidy' ELSE 'held' END);
    IF found <> 2 * cardinality(owners) THEN
        RETURN NULL;
    END IF;
    headers := ARRAY(SELECT nextval('billing_ledgertransaction_id_seq') FROM generate_subscripts(keys, 1));
    INSERT INTO billing_ledgertransaction
        (id, kind, idempotency_key, currency, about_id, reference, description, quantity, actor_id)
    SELECT m.id, 'hold', m.key, m.unit, m.sender, m.code, '', m.messages, m.person
    FROM unnest(headers, keys, units, senders, codes, messages, people)
        AS m(id, key, unit, sender, code, messages, person);
    WITH written AS (
        INSERT INTO billing_hold
            (batch_id, account_id, payer_id, movement_id, currency, amount, is_subsidy, captured, released, created_at)
        SELECT s.batch, senders[s.place], s.owner, headers[s.place], units[s.place], s.amount, s.is_subsidy, 0, 0,
            transaction_timestamp()
        FROM unnest(places, batches, owners, amounts, subsidies) AS s(place, batch, owner, amount, is_subsidy)
        RETURNING id, is_subsidy)
    SELECT min(id) INTO made FROM written WHERE NOT is_subsidy;
    INSERT INTO billing_ledgerentry (transaction_id, ledger_account_id, amount)
    SELECT headers[s.place], a.id, CASE a.kind WHEN 'wallet' THEN -s.total ELSE s.total END
    FROM (SELECT place, owner, is_subsidy, sum(amount) AS total
          FROM unnest(places, owners, amounts, subsidies) AS o(place, owner, amount, is_subsidy) GROUP BY 1, 2, 3) s
    JOIN billing_ledgeraccount a ON a.owner_id = s.owner AND a.currency = units[s.place]
        AND a.kind IN ('wallet', CASE WHEN s.is_subsidy THEN 'subsidy' ELSE 'held' END)
    ORDER BY a.id, headers[s.place];
    RETURN made;
END $$;
"""


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0005_fewer_indexes"),
        ("billing", "0018_two_sided_movements"),
    ]

    operations = [
        migrations.AddField(
            model_name="hold",
            name="movement",
            field=models.ForeignKey(
                db_constraint=False,
                db_index=False,
                help_text="What set it aside, for several batches where they were accepted together; empty = costs nothing.",
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to="billing.ledgertransaction",
            ),
        ),
        migrations.AlterField(
            model_name="hold",
            name="account",
            field=models.ForeignKey(
                db_constraint=False,
                db_index=False,
                help_text="Who sends.",
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to="accounts.account",
            ),
        ),
        migrations.AlterField(
            model_name="hold",
            name="payer",
            field=models.ForeignKey(
                db_constraint=False,
                db_index=False,
                help_text="Whose wallet it is in.",
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to="accounts.account",
            ),
        ),
        migrations.RunSQL(RULES, migrations.RunSQL.noop),
    ]
