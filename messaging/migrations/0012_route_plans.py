import django.core.validators
import django.db.models.deletion
from django.db import migrations, models

import billing.models


class Migration(migrations.Migration):
    dependencies = [
        ("messaging", "0011_sending_limits_and_ways"),
    ]

    operations = [
        migrations.CreateModel(
            name="RoutePlan",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("name", models.CharField(max_length=60, unique=True)),
                (
                    "is_default",
                    models.BooleanField(
                        default=False,
                        help_text="Of accounts for which neither they nor anyone above them has a plan.",
                        verbose_name="default",
                    ),
                ),
            ],
            options={
                "constraints": [
                    models.UniqueConstraint(
                        condition=models.Q(("is_default", True)), fields=("is_default",), name="one_default_plan"
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="RouteChoice",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "position",
                    models.PositiveSmallIntegerField(
                        default=1, help_text="1 is tried first; the others take over from it."
                    ),
                ),
                (
                    "percent",
                    models.PositiveSmallIntegerField(
                        blank=True,
                        help_text="Share of the messages; only by percentage, where all of a rule's are 100 together.",
                        null=True,
                        validators=[
                            django.core.validators.MinValueValidator(1),
                            django.core.validators.MaxValueValidator(100),
                        ],
                    ),
                ),
                (
                    "route",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="choices", to="messaging.route"
                    ),
                ),
                (
                    "rule",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="choices", to="messaging.routerule"
                    ),
                ),
            ],
            options={
                "ordering": ["position", "pk"],
                "constraints": [
                    models.UniqueConstraint(fields=("rule", "route"), name="one_choice_a_route"),
                    models.CheckConstraint(
                        condition=models.Q(("percent", None), ("percent__range", (1, 100)), _connector="OR"),
                        name="choice_percent",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="RouteCost",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "prefix",
                    models.CharField(blank=True, help_text="Digits without +; empty = all others.", max_length=15),
                ),
                (
                    "currency",
                    models.CharField(
                        max_length=3,
                        validators=[django.core.validators.RegexValidator("^[A-Z]{3}$", "Three letters, such as AUD.")],
                    ),
                ),
                (
                    "amount",
                    billing.models.MoneyField(
                        help_text="For one part. Compared with prices of its own currency only.",
                        validators=[django.core.validators.MinValueValidator(0)],
                    ),
                ),
                (
                    "route",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="costs", to="messaging.route"
                    ),
                ),
            ],
            options={
                "constraints": [
                    models.UniqueConstraint(fields=("route", "prefix", "currency"), name="one_cost_a_prefix"),
                    models.CheckConstraint(
                        condition=models.Q(("prefix__regex", "^\\d{0,15}$")), name="cost_prefix_digits"
                    ),
                    models.CheckConstraint(condition=models.Q(("amount__gte", 0)), name="cost_not_negative"),
                ],
            },
        ),
        migrations.AddField(
            model_name="routerule",
            name="plan",
            field=models.ForeignKey(
                null=True, on_delete=django.db.models.deletion.CASCADE, related_name="rules", to="messaging.routeplan"
            ),
        ),
        migrations.AddField(
            model_name="routerule",
            name="strategy",
            field=models.CharField(
                choices=[
                    ("priority", "In their order"),
                    ("least_cost", "Cheapest first"),
                    ("percentage", "By percentage"),
                ],
                default="priority",
                help_text="How a message's route is chosen.",
                max_length=10,
            ),
        ),
        migrations.AddField(
            model_name="sendingterms",
            name="route_plan",
            field=models.ForeignKey(
                blank=True,
                help_text="Which routes its messages take; empty = the plan of the account above it, at last the default plan.",
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to="messaging.routeplan",
            ),
        ),
    ]
