"""Tables whose rows never change, kept so by triggers in the database itself.

Installed after every ``migrate`` rather than by one migration, because SQLite drops a table's
triggers when a later migration rebuilds it.
"""

from typing import Any

from django.db import connections

APPEND_ONLY = (
    "jobs_event",
    "jobs_promptversion",
    "jobs_resultedit",
    "jobs_seal",
    "reviews_decision",
)

_SQLITE = """
CREATE TRIGGER IF NOT EXISTS {table}_immutable BEFORE UPDATE ON {table}
BEGIN SELECT RAISE(ABORT, '{table} rows never change'); END
"""
_POSTGRESQL = """
CREATE OR REPLACE FUNCTION refuse_update() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN RAISE EXCEPTION '% rows never change', TG_TABLE_NAME USING ERRCODE = 'integrity_constraint_violation'; END $$;
CREATE OR REPLACE TRIGGER {table}_immutable BEFORE UPDATE ON {table}
FOR EACH ROW EXECUTE FUNCTION refuse_update()
"""


def install(using: str = "default", **kwargs: Any) -> None:
    """Create the triggers that are missing. Harmless when repeated."""
    connection = connections[using]
    statement = {"sqlite": _SQLITE, "postgresql": _POSTGRESQL}[connection.vendor]
    with connection.cursor() as cursor:
        tables = set(connection.introspection.table_names(cursor))
        for table in tables.intersection(APPEND_ONLY):
            cursor.execute(statement.format(table=table))
