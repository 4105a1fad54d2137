"""Every rule there was becomes one of the default plan, with its one route as the only choice."""

from django.db import migrations

MOVE = """
INSERT INTO messaging_routeplan (name, is_default) VALUES ('Standard', true);
UPDATE messaging_routerule SET plan_id = (SELECT id FROM messaging_routeplan WHERE is_default);
INSERT INTO messaging_routechoice (rule_id, route_id, position) SELECT id, route_id, 1 FROM messaging_routerule;
"""


class Migration(migrations.Migration):
    dependencies = [("messaging", "0012_route_plans")]

    operations = [migrations.RunSQL(MOVE, migrations.RunSQL.noop)]
