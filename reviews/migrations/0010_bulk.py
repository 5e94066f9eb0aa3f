import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models
from django.db.models import Q


class Migration(migrations.Migration):
    dependencies = [
        ("reviews", "0009_inbox"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.AddField(
            model_name="bulkaction",
            name="assignee",
            field=models.ForeignKey(
                blank=True,
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to=settings.AUTH_USER_MODEL,
            ),
        ),
        migrations.AlterField(
            model_name="bulkitem",
            name="hindrance",
            field=models.CharField(
                blank=True,
                choices=[
                    ("not_yours", "not yours to decide"),
                    ("held", "open with somebody else"),
                    ("one_by_one", "to be looked at one by one"),
                    ("changed", "changed since you chose them"),
                    ("gone", "decided or ended already"),
                    ("not_theirs", "not for that person to decide"),
                    ("asked_already", "with that person already"),
                    ("not_now", "not possible as they are"),
                    ("broken", "not carried out, as something went wrong"),
                ],
                max_length=20,
            ),
        ),
        migrations.AddConstraint(
            model_name="bulkaction",
            constraint=models.CheckConstraint(
                condition=Q(ruling="reassign", assignee__isnull=False)
                | (~Q(ruling="reassign") & Q(assignee=None)),
                name="bulk_reassigns_to_somebody",
            ),
        ),
    ]
