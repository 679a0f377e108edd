"""Every link has a team; what frozen links keep. Apart from 0002: PostgreSQL alters no table with rows just written."""

from __future__ import annotations

import django.core.serializers.json
import django.db.models.deletion
import django.utils.timezone
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("sharing", "0002_targets")]

    operations = [
        migrations.AlterField(
            "sharelink",
            "team",
            models.ForeignKey(
                on_delete=django.db.models.deletion.CASCADE, related_name="share_links", to="accounts.team"
            ),
        ),
        migrations.AlterField(
            "sharelink",
            "experiment",
            models.ForeignKey(
                blank=True,
                null=True,
                on_delete=django.db.models.deletion.CASCADE,
                related_name="share_links",
                to="jobs.experiment",
            ),
        ),
        migrations.AddIndex(
            "sharelink", models.Index(fields=["team", "-created_at"], name="share_links_of_a_team")
        ),
        migrations.CreateModel(
            name="Snapshot",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("taken_at", models.DateTimeField(default=django.utils.timezone.now)),
                ("size", models.PositiveIntegerField()),
                ("content", models.JSONField(encoder=django.core.serializers.json.DjangoJSONEncoder)),
                (
                    "link",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.CASCADE, related_name="snapshot", to="sharing.sharelink"
                    ),
                ),
            ],
        ),
    ]
