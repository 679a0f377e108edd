import django.db.models.deletion
from django.db import migrations, models

MOST_SPANS = 512
FIRST_WIDTH = 2  # seconds


def keep_measured(apps, schema_editor):
    """Each old point told about the second before it; every experiment's points become at most MOST_SPANS spans."""
    Metric, MetricSpan = apps.get_model("jobs", "Metric"), apps.get_model("jobs", "MetricSpan")
    for experiment in Metric.objects.values_list("experiment_id", flat=True).distinct().order_by():
        points = Metric.objects.filter(experiment_id=experiment)
        width = FIRST_WIDTH
        while len({at.timestamp() // width for at in points.values_list("at", flat=True).iterator()}) > MOST_SPANS:
            width *= 2
        spans = {}
        for seq, name, at, value in points.values_list("seq", "name", "at", "value").iterator():
            until = at.timestamp()
            start = int(until // width) * width
            span = spans.get(start)
            if span is None:
                span = spans[start] = MetricSpan(
                    experiment_id=experiment, seq=seq, start=start, width=width, since=until - 1, until=until, totals={}
                )
            span.seq = max(span.seq, seq)
            span.since, span.until = min(span.since, until - 1), max(span.until, until)
            total, seconds = span.totals.get(name, (0.0, 0.0))
            span.totals[name] = [total + value, seconds + 1.0]
        MetricSpan.objects.bulk_create(spans.values(), batch_size=500)


class Migration(migrations.Migration):

    dependencies = [
        ("jobs", "0001_initial"),
    ]

    operations = [
        migrations.AddField(
            model_name="worker",
            name="processors",
            field=models.JSONField(default=list),
        ),
        migrations.CreateModel(
            name="MetricSpan",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("seq", models.PositiveBigIntegerField()),
                ("start", models.PositiveBigIntegerField()),
                ("width", models.PositiveIntegerField()),
                ("since", models.FloatField()),
                ("until", models.FloatField()),
                ("totals", models.JSONField(default=dict)),
                (
                    "experiment",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="metric_spans", to="jobs.experiment"
                    ),
                ),
            ],
            options={
                "indexes": [models.Index(fields=["experiment", "seq"], name="changed_spans")],
                "constraints": [models.UniqueConstraint(fields=["experiment", "start"], name="one_span_per_start")],
            },
        ),
        migrations.RunPython(keep_measured, migrations.RunPython.noop),
        migrations.DeleteModel(
            name="Metric",
        ),
    ]
