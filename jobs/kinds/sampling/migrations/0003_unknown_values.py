from django.db import migrations, models


class Migration(migrations.Migration):
    """Imported results and hosted models do not tell every seed, length and log-probability; endpoints count prompts."""

    dependencies = [("sampling", "0002_verification")]

    operations = [
        migrations.AddField("sample", "score", models.FloatField(blank=True, null=True)),
        migrations.AddField("problem", "prompt_tokens", models.PositiveBigIntegerField(default=0)),
        migrations.AlterField("sample", "seed", models.BigIntegerField(blank=True, null=True)),
        migrations.AlterField("sample", "tokens", models.PositiveIntegerField(blank=True, null=True)),
        migrations.AlterField("sample", "logprob", models.FloatField(blank=True, null=True)),
        migrations.AlterField("sample", "finish", models.CharField(blank=True, max_length=10)),
    ]
