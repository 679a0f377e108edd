from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("jobs", "0004_places_drains_quotas"),
    ]

    operations = [
        migrations.AddField(
            model_name="shard",
            name="regardless",
            field=models.BooleanField(db_default=False, default=False),
        ),
    ]
