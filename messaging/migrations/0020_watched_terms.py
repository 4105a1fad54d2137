"""Note changes of routes and their plans (accounts/services/changes.py)."""

from django.db import migrations

WATCH = """
SELECT accounts_watch_terms('messaging_routeplan');
SELECT accounts_watch_terms('messaging_routerule');
SELECT accounts_watch_terms('messaging_routechoice');
SELECT accounts_watch_terms('messaging_routecost');
SELECT accounts_watch_terms('messaging_route');
SELECT accounts_watch_terms('messaging_sendingterms');
"""
UNDO = """
DROP TRIGGER note_terms_change ON messaging_routeplan;
DROP TRIGGER note_terms_change ON messaging_routerule;
DROP TRIGGER note_terms_change ON messaging_routechoice;
DROP TRIGGER note_terms_change ON messaging_routecost;
DROP TRIGGER note_terms_change ON messaging_route;
DROP TRIGGER note_terms_change ON messaging_sendingterms;
"""


class Migration(migrations.Migration):
    dependencies = [("messaging", "0019_route_minutes"), ("accounts", "0004_terms_changes")]

    operations = [migrations.RunSQL(WATCH, UNDO)]
