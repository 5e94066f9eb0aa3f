from django.conf import settings
from django.db import migrations, models
from django.db.models import OuterRef, Q, Subquery


class Migration(migrations.Migration):
    dependencies = [
        ("jobs", "0014_desk"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.AlterField(
            model_name="gate",
            name="workspace",
            field=models.ForeignKey(
                db_index=False,
                editable=False,
                on_delete=models.deletion.PROTECT,
                related_name="+",
                to="jobs.workspace",
            ),
        ),
        migrations.AlterField(
            model_name="gate",
            name="prompt_version",
            field=models.ForeignKey(
                db_index=False,
                editable=False,
                on_delete=models.deletion.PROTECT,
                related_name="+",
                to="jobs.promptversion",
            ),
        ),
        migrations.AddIndex(
            model_name="event",
            index=models.Index(
                fields=["at", "id"], condition=Q(verb="escalated"), name="event_escalated"
            ),
        ),
        migrations.AddIndex(
            model_name="event",
            index=models.Index(
                fields=["at", "id"], condition=Q(verb="expired"), name="event_expired"
            ),
        ),
        migrations.AddIndex(
            model_name="gate",
            index=models.Index(
                fields=["workspace", "due_at", "id"],
                condition=Q(closed_at__isnull=True),
                name="gate_inbox",
            ),
        ),
        migrations.AddIndex(
            model_name="gate",
            index=models.Index(
                fields=["workspace", "opened_at", "id"],
                condition=Q(closed_at__isnull=True),
                name="gate_inbox_opened",
            ),
        ),
        migrations.AddIndex(
            model_name="gate",
            index=models.Index(
                fields=["workspace", "due_at", "id"],
                condition=Q(closed_at__isnull=True, level__gt=1),
                name="gate_escalated",
            ),
        ),
        migrations.AddIndex(
            model_name="gate",
            index=models.Index(
                fields=["assignee"],
                condition=Q(closed_at__isnull=True, assignee__isnull=False),
                name="gate_assigned",
            ),
        ),
        migrations.AddIndex(
            model_name="gate",
            index=models.Index(
                fields=["claimed_by"],
                condition=Q(closed_at__isnull=True, claimed_by__isnull=False),
                name="gate_claimed",
            ),
        ),
    ]
