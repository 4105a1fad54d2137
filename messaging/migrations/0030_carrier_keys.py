"""What receipts find messages by gets a table of its own, partitioned by month as messages are."""

import django.db.models.deletion
from django.db import migrations, models

# As in 0029.
PARTITION = """
ALTER TABLE messaging_carrierkey RENAME TO messaging_carrierkey_plain;
CREATE TABLE messaging_carrierkey (LIKE messaging_carrierkey_plain) PARTITION BY RANGE (message_id);
DROP TABLE messaging_carrierkey_plain;
ALTER TABLE messaging_carrierkey ADD PRIMARY KEY (carrier_id, route_id, message_id);
SELECT messaging_ensure_partitions(min(month), max(month)) FROM (
    SELECT to_date(right(inhrelid::regclass::text, 6), 'YYYYMM') FROM pg_inherits
    WHERE inhparent = 'messaging_message'::regclass) AS of_messages(month);
"""
FILL = """
CREATE OR REPLACE FUNCTION messaging_fill_keys(first timestamptz, until timestamptz) RETURNS bigint
    LANGUAGE plpgsql AS $$
DECLARE
    found bigint;
    named bigint;
BEGIN
    INSERT INTO messaging_messagekey (account_id, message_id, recipient)
    SELECT account_id, id, recipient FROM messaging_message m
    WHERE id >= messaging_uuid_floor(first) AND id < messaging_uuid_floor(until) AND NOT EXISTS (
        SELECT FROM messaging_messagekey k WHERE k.account_id = m.account_id AND k.message_id = m.id)
    ON CONFLICT DO NOTHING;
    GET DIAGNOSTICS found = ROW_COUNT;
    INSERT INTO messaging_carrierkey (carrier_id, route_id, message_id)
    SELECT carrier_id, route_id, id FROM messaging_message m
    WHERE id >= messaging_uuid_floor(first) AND id < messaging_uuid_floor(until) AND carrier_id <> '' AND NOT EXISTS (
        SELECT FROM messaging_carrierkey k
        WHERE k.carrier_id = m.carrier_id AND k.route_id = m.route_id AND k.message_id = m.id)
    ON CONFLICT DO NOTHING;
    GET DIAGNOSTICS named = ROW_COUNT;
    RETURN found + named;
END $$;
SELECT messaging_fill_keys(now() - interval '5 years', now() + interval '2 days');
"""


class Migration(migrations.Migration):
    dependencies = [("messaging", "0029_message_keys")]

    operations = [
        migrations.CreateModel(
            name="CarrierKey",
            fields=[
                (
                    "pk",
                    models.CompositePrimaryKey(
                        "carrier_id",
                        "route_id",
                        "message_id",
                        blank=True,
                        editable=False,
                        primary_key=True,
                        serialize=False,
                    ),
                ),
                ("carrier_id", models.CharField(max_length=65)),
                (
                    "route",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="+",
                        to="messaging.route",
                    ),
                ),
                ("message_id", models.UUIDField()),
            ],
        ),
        migrations.RunSQL(PARTITION, migrations.RunSQL.noop),
        migrations.RunSQL(FILL, migrations.RunSQL.noop),
        migrations.RemoveIndex(model_name="message", name="message_carrier"),
    ]
