"""What an account's messages are found by gets a table of its own, partitioned by month as messages are."""

import django.db.models.deletion
from django.db import migrations, models

# As in 0002: the plain table (empty) is made anew, partitioned, with the same columns; its index is made at the end of
# the migration. From here on months are made for every partitioned table of this room, whatever their names.
PARTITION = """
ALTER TABLE messaging_messagekey RENAME TO messaging_messagekey_plain;
CREATE TABLE messaging_messagekey (LIKE messaging_messagekey_plain) PARTITION BY RANGE (message_id);
DROP TABLE messaging_messagekey_plain;
ALTER TABLE messaging_messagekey ADD PRIMARY KEY (account_id, message_id);

CREATE OR REPLACE FUNCTION messaging_ensure_partitions(first date, last date) RETURNS integer LANGUAGE plpgsql
    SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    parent text;
    month date;
    child text;
    made integer := 0;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtext('messaging_ensure_partitions'));
    FOR parent IN SELECT relname FROM pg_class
        WHERE relkind = 'p' AND relnamespace = 'public'::regnamespace AND relname LIKE 'messaging\\_%' ORDER BY relname
    LOOP
        month := date_trunc('month', first)::date;
        WHILE month <= last LOOP
            child := parent || to_char(month, '_YYYYMM');
            IF to_regclass(child) IS NULL THEN
                EXECUTE format('CREATE TABLE %I PARTITION OF %I FOR VALUES FROM (%L) TO (%L)', child, parent,
                    messaging_uuid_floor(month::timestamp AT TIME ZONE 'UTC'),
                    messaging_uuid_floor((month + interval '1 month')::timestamp AT TIME ZONE 'UTC'));
                made := made + 1;
            END IF;
            month := (month + interval '1 month')::date;
        END LOOP;
    END LOOP;
    RETURN made;
END $$;
-- As many months as there are of messages.
SELECT messaging_ensure_partitions(
    least((SELECT min(to_date(right(inhrelid::regclass::text, 6), 'YYYYMM')) FROM pg_inherits
           WHERE inhparent = 'messaging_message'::regclass), (now() - interval '3 months')::date),
    greatest((SELECT max(to_date(right(inhrelid::regclass::text, 6), 'YYYYMM')) FROM pg_inherits
              WHERE inhparent = 'messaging_message'::regclass), (now() + interval '3 months')::date));
"""

# For what was accepted before there were keys, and by processes of that version: whoever counts reports anew
# (0024, messaging/services/rollups.py) sees to keys as well.
FILL = """
CREATE FUNCTION messaging_fill_keys(first timestamptz, until timestamptz) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    found bigint;
BEGIN
    INSERT INTO messaging_messagekey (account_id, message_id, recipient)
    SELECT account_id, id, recipient FROM messaging_message m
    WHERE id >= messaging_uuid_floor(first) AND id < messaging_uuid_floor(until) AND NOT EXISTS (
        SELECT FROM messaging_messagekey k WHERE k.account_id = m.account_id AND k.message_id = m.id)
    ON CONFLICT DO NOTHING;
    GET DIAGNOSTICS found = ROW_COUNT;
    RETURN found;
END $$;
SELECT messaging_fill_keys(now() - interval '5 years', now() + interval '2 days');
"""


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0005_fewer_indexes"),
        ("messaging", "0028_claimed_in_turn"),
    ]

    operations = [
        migrations.CreateModel(
            name="MessageKey",
            fields=[
                (
                    "pk",
                    models.CompositePrimaryKey(
                        "account_id", "message_id", blank=True, editable=False, primary_key=True, serialize=False
                    ),
                ),
                (
                    "account",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="+",
                        to="accounts.account",
                    ),
                ),
                ("message_id", models.UUIDField()),
                ("recipient", models.CharField(help_text="E.164 with +.", max_length=16)),
            ],
            options={
                "indexes": [models.Index(fields=["recipient", "account", "message_id"], name="messagekey_recipient")],
            },
        ),
        migrations.RunSQL(PARTITION, migrations.RunSQL.noop),
        migrations.RunSQL(FILL, "DROP FUNCTION messaging_fill_keys(timestamptz, timestamptz)"),
        migrations.RemoveIndex(model_name="message", name="message_account"),
        migrations.RemoveIndex(model_name="message", name="message_recipient"),
    ]
