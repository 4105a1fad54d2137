"""The tree's own rules in the database, and its root."""

from django.conf import settings
from django.db import migrations

TREE = """
CREATE FUNCTION accounts_account_tree() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    parent record;
BEGIN
    IF TG_OP = 'UPDATE' THEN
        IF NEW.parent_id IS DISTINCT FROM OLD.parent_id OR NEW.currency <> OLD.currency OR NEW.path <> OLD.path THEN
            RAISE EXCEPTION 'parent, path and currency of an account never change' USING ERRCODE = 'check_violation';
        END IF;
        RETURN NEW;
    END IF;
    IF NEW.parent_id IS NULL THEN
        NEW.path := ARRAY[NEW.id];
        RETURN NEW;
    END IF;
    SELECT path, currency INTO parent FROM accounts_account WHERE id = NEW.parent_id;
    IF parent.currency <> '' AND parent.currency <> NEW.currency THEN
        RAISE EXCEPTION 'an account has the currency of its parent' USING ERRCODE = 'check_violation';
    END IF;
    NEW.path := parent.path || NEW.id;
    RETURN NEW;
END $$;
CREATE TRIGGER accounts_account_tree BEFORE INSERT OR UPDATE ON accounts_account
    FOR EACH ROW EXECUTE FUNCTION accounts_account_tree();
"""


def make_platform(apps, schema_editor):
    apps.get_model("accounts", "Account").objects.using(schema_editor.connection.alias).create(
        code="PLATFORM", name=settings.SITE_NAME, time_zone="UTC"
    )


class Migration(migrations.Migration):
    dependencies = [("accounts", "0001_initial")]

    operations = [
        migrations.RunSQL(TREE, migrations.RunSQL.noop),
        migrations.RunPython(make_platform, migrations.RunPython.noop),
    ]
