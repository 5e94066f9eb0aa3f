from django.db import migrations

from jobs.models.ordered import OrderedJSONField
from jobs.models.types import _check_options, _check_schema

#: Tables, with the columns whose keys keep their order from here on.
COLUMNS = {
    "jobs_citation": ["raw"],
    "jobs_historicaljobtype": ["input_schema"],
    "jobs_job": ["input"],
    "jobs_jobtype": ["input_schema"],
    "jobs_promptversion": ["options", "output_schema", "tools"],
    "jobs_result": ["structured"],
    "jobs_resultedit": ["structured"],
    "jobs_toolcall": ["raw"],
    "jobs_turn": ["request"],
}


def _become(kind):
    """Only PostgreSQL stores the two fields differently; SQLite would copy every table."""

    def change(apps, schema_editor):
        if schema_editor.connection.vendor != "postgresql":
            return
        for table, columns in COLUMNS.items():
            changes = (f"ALTER COLUMN {name} TYPE {kind} USING {name}::{kind}" for name in columns)
            schema_editor.execute(f"ALTER TABLE {table} {', '.join(changes)}")

    return change


class Migration(migrations.Migration):
    dependencies = [("jobs", "0016_approvals")]

    operations = [
        migrations.SeparateDatabaseAndState(
            database_operations=[migrations.RunPython(_become("json"), _become("jsonb"))],
            state_operations=[
                migrations.AlterField(
                    model_name="citation",
                    name="raw",
                    field=OrderedJSONField(default=dict),
                ),
                migrations.AlterField(
                    model_name="historicaljobtype",
                    name="input_schema",
                    field=OrderedJSONField(
                        blank=True,
                        default=dict,
                        help_text="JSON Schema of the form.",
                        validators=[_check_schema],
                    ),
                ),
                migrations.AlterField(
                    model_name="job",
                    name="input",
                    field=OrderedJSONField(default=dict),
                ),
                migrations.AlterField(
                    model_name="jobtype",
                    name="input_schema",
                    field=OrderedJSONField(
                        blank=True,
                        default=dict,
                        help_text="JSON Schema of the form.",
                        validators=[_check_schema],
                    ),
                ),
                migrations.AlterField(
                    model_name="promptversion",
                    name="options",
                    field=OrderedJSONField(
                        blank=True,
                        default=dict,
                        help_text="Further parameters of the request: reasoning, max_output_tokens, service_tier …",
                        validators=[_check_options],
                    ),
                ),
                migrations.AlterField(
                    model_name="promptversion",
                    name="output_schema",
                    field=OrderedJSONField(blank=True, null=True, validators=[_check_schema]),
                ),
                migrations.AlterField(
                    model_name="promptversion",
                    name="tools",
                    field=OrderedJSONField(blank=True, default=list),
                ),
                migrations.AlterField(
                    model_name="result",
                    name="structured",
                    field=OrderedJSONField(blank=True, null=True),
                ),
                migrations.AlterField(
                    model_name="resultedit",
                    name="structured",
                    field=OrderedJSONField(blank=True, null=True),
                ),
                migrations.AlterField(
                    model_name="toolcall",
                    name="raw",
                    field=OrderedJSONField(default=dict),
                ),
                migrations.AlterField(
                    model_name="turn",
                    name="request",
                    field=OrderedJSONField(default=dict),
                ),
            ],
        ),
    ]
