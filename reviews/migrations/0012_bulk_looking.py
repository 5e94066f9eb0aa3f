from django.db import migrations, models
from django.db.models import Q


class Migration(migrations.Migration):
    dependencies = [("reviews", "0011_decision_workspace")]

    operations = [
        migrations.RemoveConstraint(model_name="bulkaction", name="bulk_due_iff_running"),
        migrations.RemoveConstraint(model_name="bulkaction", name="bulk_state_and_moments"),
        migrations.RemoveConstraint(model_name="bulkitem", name="bulk_item_outcome_whole"),
        migrations.AlterField(
            model_name="bulkaction",
            name="state",
            field=models.CharField(
                choices=[
                    ("looking", "Being looked over"),
                    ("planned", "Not started"),
                    ("running", "Under way"),
                    ("done", "Done"),
                    ("stopped", "Stopped"),
                ],
                default="planned",
                max_length=10,
            ),
        ),
        migrations.AlterField(
            model_name="bulkitem",
            name="outcome",
            field=models.CharField(
                choices=[
                    ("new", "To look over"),
                    ("pending", "To do"),
                    ("done", "Done"),
                    ("refused", "Not done"),
                ],
                default="pending",
                max_length=10,
            ),
        ),
        migrations.AddConstraint(
            model_name="bulkaction",
            constraint=models.CheckConstraint(
                condition=Q(state__in=["looking", "running"], next_check_at__isnull=False)
                | (~Q(state__in=["looking", "running"]) & Q(next_check_at__isnull=True)),
                name="bulk_due_iff_under_way",
            ),
        ),
        migrations.AddConstraint(
            model_name="bulkaction",
            constraint=models.CheckConstraint(
                condition=Q(state__in=["looking", "planned"], started_at=None, ended_at=None)
                | Q(state="running", started_at__isnull=False, ended_at=None)
                | Q(
                    state__in=["done", "stopped"],
                    started_at__isnull=False,
                    ended_at__isnull=False,
                ),
                name="bulk_state_and_moments",
            ),
        ),
        migrations.AddConstraint(
            model_name="bulkitem",
            constraint=models.CheckConstraint(
                condition=Q(outcome="done", decision__isnull=False, hindrance="")
                | Q(outcome__in=["new", "pending"], decision=None, hindrance="")
                | (Q(outcome="refused", decision=None) & ~Q(hindrance="") & ~Q(said="")),
                name="bulk_item_outcome_whole",
            ),
        ),
    ]
