"""Which routes single messages that are being accepted may go over without queueing (docs/message-way.md, Dispatch)."""

from django.db import migrations

# A plan that was made while a table was small would read all of it for as long as the connection lasts, hence the
# settings; each look is an index's first entry, or as many as a route's stock may have.
ROADS = """
CREATE FUNCTION messaging_release_at_once(
    routes bigint[], classes smallint[], counts integer[], stock_seconds double precision, channel text, mark text
) RETURNS bigint[] LANGUAGE plpgsql
    SET enable_seqscan = off SET enable_bitmapscan = off SET plan_cache_mode = force_generic_plan AS $$
DECLARE
    found bigint[];
BEGIN
    found := ARRAY(
        SELECT o.route FROM unnest(routes, classes, counts) AS o(route, class, count)
        CROSS JOIN LATERAL (
            SELECT greatest(1, ceil(throughput * stock_seconds))::bigint AS most FROM public.messaging_route
            WHERE id = o.route AND NOT is_paused OFFSET 0) AS stock
        WHERE (SELECT true FROM public.messaging_message
               WHERE route_id = o.route AND message_class <= o.class AND state = 'queued' LIMIT 1) IS NULL
          AND o.count <= stock.most - (SELECT count(*) FROM (
                SELECT FROM public.messaging_message
                WHERE route_id = o.route AND message_class <= o.class AND state = 'released' LIMIT stock.most) AS s));
    -- Connectors are told when the transaction has been committed, and not at all when it is rolled back.
    PERFORM pg_notify(channel, route || mark) FROM unnest(found) AS route;
    RETURN found;
END $$;
"""


class Migration(migrations.Migration):
    dependencies = [("messaging", "0033_accounts_of_batches")]

    operations = [
        migrations.RunSQL(
            ROADS,
            """DROP FUNCTION messaging_release_at_once(
                bigint[], smallint[], integer[], double precision, text, text)""",
        )
    ]
