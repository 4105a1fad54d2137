"""Binds are their route's, whatever kind of connector it has. Their states are told anew every second."""

import django.db.models.deletion
import django.db.models.functions.datetime
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("messaging", "0014_plans_in_force")]

    operations = [
        migrations.RunSQL("DELETE FROM messaging_connectorstatus", migrations.RunSQL.noop),
        migrations.RemoveConstraint(model_name="connectorstatus", name="one_status_a_bind"),
        migrations.RemoveField(model_name="connectorstatus", name="connector"),
        migrations.AddField(
            model_name="connectorstatus",
            name="route",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.CASCADE, related_name="statuses", to="messaging.route"
            ),
        ),
        migrations.AddField(
            model_name="connectorstatus",
            name="bound_at",
            field=models.DateTimeField(
                db_default=django.db.models.functions.datetime.Now(),
                help_text="Last seen bound, or first tried if it never was.",
            ),
        ),
        migrations.AddField(
            model_name="connectorstatus",
            name="slowed_since",
            field=models.DateTimeField(help_text="The carrier throttles it since then.", null=True),
        ),
        migrations.AddField(
            model_name="connectorstatus",
            name="in_hand",
            field=models.PositiveIntegerField(db_default=0, help_text="Claimed messages that have no answer yet."),
        ),
        migrations.AddConstraint(
            model_name="connectorstatus",
            constraint=models.UniqueConstraint(fields=("route", "bind"), name="one_status_of_a_bind"),
        ),
    ]
