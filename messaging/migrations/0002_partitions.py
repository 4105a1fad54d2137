"""Range-partition messages, their parts and receipts by month of their UUIDv7 (docs/message-way.md)."""

from django.conf import settings
from django.db import migrations

# Django has no word for partitioned tables: the plain ones of 0001 (empty) are made anew with the same columns,
# constraints and index names, so that later migrations find what they expect.
PARTITION = """
CREATE FUNCTION messaging_partition(target text, key text, primary_key text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    definitions text[];
    definition text;
BEGIN
    SELECT array_agg(pg_get_indexdef(indexrelid) ORDER BY indexrelid) INTO definitions
        FROM pg_index WHERE indrelid = target::regclass AND NOT indisprimary;
    EXECUTE format('ALTER TABLE %I RENAME TO %I', target, target || '_plain');
    EXECUTE format('CREATE TABLE %I (LIKE %I INCLUDING DEFAULTS INCLUDING CONSTRAINTS) PARTITION BY RANGE (%I)',
                   target, target || '_plain', key);
    EXECUTE format('DROP TABLE %I', target || '_plain');
    EXECUTE format('ALTER TABLE %I ADD PRIMARY KEY (%s)', target, primary_key);
    FOREACH definition IN ARRAY coalesce(definitions, '{}') LOOP
        EXECUTE definition;
    END LOOP;
END $$;
SELECT messaging_partition('messaging_message', 'id', 'id');
SELECT messaging_partition('messaging_messagepart', 'message_id', 'message_id, part');
SELECT messaging_partition('messaging_receipt', 'id', 'id');
DROP FUNCTION messaging_partition(text, text, text);

-- The smallest UUIDv7 of a moment: the bound of a partition, and of a period in queries.
CREATE FUNCTION messaging_uuid_floor(moment timestamptz) RETURNS uuid LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT (lpad(to_hex((extract(epoch FROM moment) * 1000)::bigint), 12, '0') || repeat('0', 20))::uuid
$$;

-- Makes the months' partitions that are missing; as the owner, because the application's role may not create tables.
CREATE FUNCTION messaging_ensure_partitions(first date, last date) RETURNS integer LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = public, pg_temp AS $$
DECLARE
    parent text;
    month date;
    child text;
    made integer := 0;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtext('messaging_ensure_partitions'));
    FOREACH parent IN ARRAY ARRAY['messaging_message', 'messaging_messagepart', 'messaging_receipt'] LOOP
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
REVOKE EXECUTE ON FUNCTION messaging_ensure_partitions(date, date) FROM PUBLIC;
DO $$ BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = '{role}') THEN
        GRANT EXECUTE ON FUNCTION messaging_ensure_partitions(date, date) TO {role};
    END IF;
END $$;
SELECT messaging_ensure_partitions((now() - interval '3 months')::date, (now() + interval '3 months')::date);
""".replace("{role}", settings.DATABASE_APP_ROLE)


class Migration(migrations.Migration):
    dependencies = [("messaging", "0001_initial")]

    operations = [migrations.RunSQL(PARTITION, migrations.RunSQL.noop)]
