"""A card method has its amounts: with nothing to compare, the checks passed, and nobody could add credit.

Terms that are so already are left as they are until somebody changes them: an upgrade cannot know the amount.
"""

from django.db import migrations, models

FIXED = "method <> 'card_fixed' OR (fixed_topup IS NOT NULL AND fixed_topup > 0)"
VARIABLE = (
    "method <> 'card_variable' OR (minimum_topup IS NOT NULL AND daily_topup_limit IS NOT NULL"
    " AND minimum_topup > 0 AND daily_topup_limit >= minimum_topup)"
)
RULES = f"""
ALTER TABLE billing_billingterms
    DROP CONSTRAINT terms_fixed_amount, ADD CONSTRAINT terms_fixed_amount CHECK ({FIXED}) NOT VALID,
    DROP CONSTRAINT terms_variable_amounts, ADD CONSTRAINT terms_variable_amounts CHECK ({VARIABLE}) NOT VALID;
"""

CONSTRAINTS = [
    models.CheckConstraint(
        condition=~models.Q(method="card_fixed") | models.Q(fixed_topup__isnull=False, fixed_topup__gt=0),
        name="terms_fixed_amount",
        violation_error_message="A fixed amount has to be above zero.",
    ),
    models.CheckConstraint(
        condition=~models.Q(method="card_variable")
        | models.Q(minimum_topup__isnull=False, daily_topup_limit__isnull=False)
        & models.Q(minimum_topup__gt=0, daily_topup_limit__gte=models.F("minimum_topup")),
        name="terms_variable_amounts",
        violation_error_message="Variable amounts need a minimum above zero and a daily limit not below it.",
    ),
    models.CheckConstraint(
        condition=~models.Q(method="card_fixed")
        | models.Q(daily_topup_limit__isnull=True)
        | models.Q(daily_topup_limit__gte=models.F("fixed_topup")),
        name="terms_fixed_within_daily",
        violation_error_message="The fixed amount is above the daily limit; lower it, or raise the limit.",
    ),
]


class Migration(migrations.Migration):
    dependencies = [("billing", "0023_holds_checked_in_sets")]

    operations = [
        migrations.SeparateDatabaseAndState(
            database_operations=[migrations.RunSQL(RULES, migrations.RunSQL.noop)],
            state_operations=[
                operation
                for one in CONSTRAINTS
                for operation in (
                    migrations.RemoveConstraint("billingterms", one.name),
                    migrations.AddConstraint("billingterms", one),
                )
            ],
        )
    ]
