from django.db import migrations, models


class Migration(migrations.Migration):
    """Imported results and hosted models do not tell every seed, length and log-probability."""

    dependencies = [("sampling", "0001_initial")]

    operations = [
        migrations.AlterField("sample", "seed", models.BigIntegerField(blank=True, null=True)),
        migrations.AlterField("sample", "tokens", models.PositiveIntegerField(blank=True, null=True)),
        migrations.AlterField("sample", "logprob", models.FloatField(blank=True, null=True)),
        migrations.AlterField("sample", "finish", models.CharField(blank=True, max_length=10)),
    ]
