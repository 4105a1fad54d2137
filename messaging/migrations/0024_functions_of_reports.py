"""Functions behind the reports' counts, and the counts of what was sent before there were any."""

from django.db import migrations

# ``messaging_recount`` brings the counts into line with the messages by writing what differs, like any other change.
FUNCTIONS = """
CREATE FUNCTION messaging_quarter(moment timestamptz) RETURNS timestamptz LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN date_bin('15 minutes', moment, timestamptz '2000-01-01 00:00:00+00');
CREATE FUNCTION messaging_quarter(key uuid) RETURNS timestamptz LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN date_bin('15 minutes', uuid_extract_timestamp(key), timestamptz '2000-01-01 00:00:00+00');

CREATE FUNCTION messaging_recount(first timestamptz, until timestamptz) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    found bigint;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtext('messaging_recount'));
    INSERT INTO messaging_reportchange (quarter, account_id, quote_id, messages, sent, delivered, failed, cancelled,
        parts, captured, captured_parts)
    SELECT quarter, account_id, quote_id, sum(messages), sum(sent), sum(delivered), sum(failed), sum(cancelled),
        sum(parts), sum(captured), sum(captured_parts)
    FROM (
        SELECT messaging_quarter(id) AS quarter, account_id, quote_id, count(*) AS messages, count(sent_at) AS sent,
            count(*) FILTER (WHERE state = 'delivered') AS delivered,
            count(*) FILTER (WHERE state IN ('undelivered', 'expired', 'rejected', 'blocked', 'failed')) AS failed,
            count(*) FILTER (WHERE state = 'cancelled') AS cancelled,
            coalesce(sum(parts) FILTER (WHERE sent_at IS NOT NULL), 0) AS parts, 0 AS captured, 0 AS captured_parts
        FROM messaging_message WHERE id >= messaging_uuid_floor(first) AND id < messaging_uuid_floor(until)
        GROUP BY 1, 2, 3
        UNION ALL
        SELECT messaging_quarter(t.created_at), m.account_id, m.quote_id, 0, 0, 0, 0, 0, 0, count(*), sum(m.parts)
        FROM billing_ledgertransaction t JOIN messaging_message m ON m.settlement_id = t.id
        WHERE t.about_id = ANY(ARRAY(SELECT id FROM accounts_account)) AND t.kind = 'capture'
            AND t.created_at >= first AND t.created_at < until
        GROUP BY 1, 2, 3
        UNION ALL
        SELECT quarter, account_id, quote_id, -messages, -sent, -delivered, -failed, -cancelled, -parts, -captured,
            -captured_parts
        FROM messaging_reportquarter WHERE quarter >= first AND quarter < until
        UNION ALL
        SELECT quarter, account_id, quote_id, -messages, -sent, -delivered, -failed, -cancelled, -parts, -captured,
            -captured_parts
        FROM messaging_reportchange WHERE quarter >= first AND quarter < until
    ) AS compared
    GROUP BY 1, 2, 3
    HAVING (sum(messages), sum(sent), sum(delivered), sum(failed), sum(cancelled), sum(parts), sum(captured),
        sum(captured_parts)) <> (0, 0, 0, 0, 0, 0, 0, 0);
    GET DIAGNOSTICS found = ROW_COUNT;
    RETURN found;
END $$;
SELECT messaging_recount(date_trunc('day', now() AT TIME ZONE 'UTC') AT TIME ZONE 'UTC' - interval '5 years',
    date_trunc('day', now() AT TIME ZONE 'UTC') AT TIME ZONE 'UTC' + interval '2 days');
"""
DROP = """
DROP FUNCTION messaging_recount(timestamptz, timestamptz);
DROP FUNCTION messaging_quarter(uuid);
DROP FUNCTION messaging_quarter(timestamptz);
"""


class Migration(migrations.Migration):
    dependencies = [("messaging", "0023_counts_of_reports")]

    operations = [migrations.RunSQL(FUNCTIONS, DROP)]
