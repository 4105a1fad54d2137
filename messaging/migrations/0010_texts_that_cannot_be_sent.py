from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("messaging", "0009_unread_conversations"),
    ]

    operations = [
        migrations.AlterField(
            model_name="exclusion",
            name="reason",
            field=models.CharField(
                choices=[
                    ("invalid", "Not a valid mobile number"),
                    ("duplicate", "Duplicate"),
                    ("no_price", "No price for this destination"),
                    ("no_route", "No route to this destination"),
                    ("not_local", "Not a local number"),
                    ("opted_out", "Opted out"),
                    ("text", "Text cannot be sent"),
                ],
                max_length=10,
            ),
        ),
    ]
