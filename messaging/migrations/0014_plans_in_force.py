import django.core.validators
import django.db.models.deletion
from django.db import migrations, models

# At most one default plan is a unique index; at least one is this. Deferred, so that the default can change over.
ALWAYS_A_DEFAULT = """
CREATE FUNCTION messaging_always_a_default_plan() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM messaging_routeplan WHERE is_default) THEN
        RAISE EXCEPTION 'one route plan has to be the default' USING ERRCODE = 'check_violation';
    END IF;
    RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER always_a_default_plan AFTER UPDATE OR DELETE ON messaging_routeplan
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW WHEN (OLD.is_default)
    EXECUTE FUNCTION messaging_always_a_default_plan();
"""
UNDO = """
DROP TRIGGER always_a_default_plan ON messaging_routeplan;
DROP FUNCTION messaging_always_a_default_plan();
"""


class Migration(migrations.Migration):
    dependencies = [("messaging", "0013_rules_into_a_plan")]

    operations = [
        migrations.AlterField(
            model_name="routerule",
            name="plan",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.CASCADE, related_name="rules", to="messaging.routeplan"
            ),
        ),
        migrations.AlterField(
            model_name="routerule",
            name="prefix",
            field=models.CharField(blank=True, help_text="Digits without +; empty = all others.", max_length=15),
        ),
        migrations.RemoveField(model_name="routerule", name="route"),
        migrations.AddConstraint(
            model_name="routerule",
            constraint=models.UniqueConstraint(fields=("plan", "prefix"), name="one_rule_a_prefix"),
        ),
        migrations.AlterField(
            model_name="route",
            name="max_attempts",
            field=models.PositiveSmallIntegerField(
                default=12,
                help_text="Tries of one message here before it goes to the plan's next route, or fails. 5 take some 10 seconds, 12 some 5 minutes.",
                validators=[django.core.validators.MinValueValidator(1)],
            ),
        ),
        migrations.AddConstraint(
            model_name="route",
            constraint=models.CheckConstraint(
                condition=models.Q(("max_attempts__gt", 0)), name="route_attempts_positive"
            ),
        ),
        migrations.RunSQL(ALWAYS_A_DEFAULT, UNDO),
    ]
