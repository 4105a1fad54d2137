"""Note changes of prices and terms (accounts/services/changes.py)."""

from django.db import migrations

WATCH = """
SELECT accounts_watch_terms('billing_ratecard');
SELECT accounts_watch_terms('billing_rate');
SELECT accounts_watch_terms('billing_rateoverride');
SELECT accounts_watch_terms('billing_billingterms');
SELECT accounts_watch_terms('billing_countrymargin');
"""
UNDO = """
DROP TRIGGER note_terms_change ON billing_ratecard;
DROP TRIGGER note_terms_change ON billing_rate;
DROP TRIGGER note_terms_change ON billing_rateoverride;
DROP TRIGGER note_terms_change ON billing_billingterms;
DROP TRIGGER note_terms_change ON billing_countrymargin;
"""


class Migration(migrations.Migration):
    dependencies = [("billing", "0013_recharge_pauses"), ("accounts", "0004_terms_changes")]

    operations = [migrations.RunSQL(WATCH, UNDO)]
