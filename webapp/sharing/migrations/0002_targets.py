"""Links to more than experiments: what they open, for whom, and as of when."""

from __future__ import annotations

import django.core.serializers.json
import django.db.models.deletion
import django.utils.timezone
from django.conf import settings
from django.db import migrations, models
from django.db.models import OuterRef, Subquery


def fill_team(apps, schema_editor):
    """Until now every link opened an experiment, and belongs to its team."""
    ShareLink, Experiment = apps.get_model("sharing", "ShareLink"), apps.get_model("jobs", "Experiment")
    team = Experiment.objects.filter(pk=OuterRef("experiment_id")).values("team_id")
    ShareLink.objects.update(team_id=Subquery(team[:1]))


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0001_initial"),
        ("api", "0001_initial"),
        ("jobs", "0001_initial"),
        ("sharing", "0001_initial"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.AddField("sharelink", "target", models.CharField(default="experiment", max_length=20)),
        migrations.AddField(
            "sharelink",
            "scope",
            models.JSONField(default=dict, encoder=django.core.serializers.json.DjangoJSONEncoder),
        ),
        migrations.AddField("sharelink", "anonymous", models.BooleanField(default=False)),
        migrations.AddField("sharelink", "embed_hosts", models.JSONField(blank=True, default=list)),
        migrations.AddField("sharelink", "paused_at", models.DateTimeField(blank=True, null=True)),
        migrations.AddField(
            "sharelink",
            "created_with",
            models.ForeignKey(
                null=True, on_delete=django.db.models.deletion.SET_NULL, related_name="+", to="api.apitoken"
            ),
        ),
        migrations.AddField(
            "sharelink",
            "team",
            models.ForeignKey(
                null=True,
                on_delete=django.db.models.deletion.CASCADE,
                related_name="share_links",
                to="accounts.team",
            ),
        ),
        migrations.RunPython(fill_team, migrations.RunPython.noop),
    ]
