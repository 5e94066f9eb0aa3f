import django.db.models.deletion
from django.db import migrations, models
from django.db.models import OuterRef, Subquery

from jobs.models import immutable


def fill(apps, schema_editor):
    """Decisions never change, and the database sees to that: it is told that this once they do. All
    of it is one transaction, and what keeps them is back before that ends."""
    on = " ON reviews_decision" if schema_editor.connection.vendor == "postgresql" else ""
    schema_editor.execute(f"DROP TRIGGER IF EXISTS reviews_decision_immutable{on}")
    of_job = apps.get_model("jobs", "Job").objects.filter(pk=OuterRef("job"))
    decisions = apps.get_model("reviews", "Decision").objects.using(schema_editor.connection.alias)
    decisions.update(workspace=Subquery(of_job.values("workspace")[:1]))


def keep(apps, schema_editor):
    immutable.install(schema_editor.connection.alias)


class Migration(migrations.Migration):
    dependencies = [
        ("jobs", "0016_approvals"),
        ("reviews", "0010_bulk"),
    ]

    operations = [
        # Without its constraint: rows whose foreign keys were written cannot be altered before the
        # commit (PostgreSQL).
        migrations.AddField(
            model_name="decision",
            name="workspace",
            field=models.ForeignKey(
                db_constraint=False,
                db_index=False,
                editable=False,
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to="jobs.workspace",
            ),
        ),
        migrations.RunPython(fill, migrations.RunPython.noop),
        migrations.AlterField(
            model_name="decision",
            name="workspace",
            field=models.ForeignKey(
                db_index=False,
                editable=False,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to="jobs.workspace",
            ),
        ),
        migrations.AddIndex(
            model_name="decision",
            index=models.Index(fields=["workspace", "-id"], name="decision_by_workspace"),
        ),
        migrations.RunPython(keep, migrations.RunPython.noop),
    ]
