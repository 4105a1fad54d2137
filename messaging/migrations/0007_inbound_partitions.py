"""Range-partition inbound messages and their parts by month of their UUIDv7, as messages are."""

from django.db import migrations

# As in 0002: the plain tables (empty) are made anew, partitioned, with the same columns and index names.
PARTITION = """
CREATE FUNCTION messaging_partition(target text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    definitions text[];
    definition text;
BEGIN
    SELECT array_agg(pg_get_indexdef(indexrelid) ORDER BY indexrelid) INTO definitions
        FROM pg_index WHERE indrelid = target::regclass AND NOT indisprimary;
    EXECUTE format('ALTER TABLE %I RENAME TO %I', target, target || '_plain');
    EXECUTE format('CREATE TABLE %I (LIKE %I INCLUDING DEFAULTS INCLUDING CONSTRAINTS) PARTITION BY RANGE (id)',
                   target, target || '_plain');
    EXECUTE format('DROP TABLE %I', target || '_plain');
    EXECUTE format('ALTER TABLE %I ADD PRIMARY KEY (id)', target);
    FOREACH definition IN ARRAY coalesce(definitions, '{}') LOOP
        EXECUTE definition;
    END LOOP;
END $$;
SELECT messaging_partition('messaging_inboundpart');
SELECT messaging_partition('messaging_inboundmessage');
DROP FUNCTION messaging_partition(text);

CREATE OR REPLACE FUNCTION messaging_ensure_partitions(first date, last date) RETURNS integer LANGUAGE plpgsql
    SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    parent text;
    month date;
    child text;
    made integer := 0;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtext('messaging_ensure_partitions'));
    FOREACH parent IN ARRAY ARRAY['messaging_message', 'messaging_messagepart', 'messaging_receipt',
                                  'messaging_inboundpart', 'messaging_inboundmessage'] LOOP
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
SELECT messaging_ensure_partitions((now() - interval '3 months')::date, (now() + interval '3 months')::date);
"""


class Migration(migrations.Migration):
    dependencies = [("messaging", "0006_inbound_links")]

    operations = [migrations.RunSQL(PARTITION, migrations.RunSQL.noop)]
