from typing import Any

from django.db import models
from django.db.backends.base.base import BaseDatabaseWrapper


class OrderedJSONField(models.JSONField):
    """JSON whose objects keep the order of their keys.

    PostgreSQL's `jsonb`, in which Django keeps JSON, puts short keys before long ones, whatever
    was stored. A form asks in the order of its schema, a model fills in an answer in the order of
    the schema that it was given, and people read it in that. PostgreSQL's `json` keeps the text
    as it was; it cannot be compared with `=`, which no filter here does.
    """

    def db_type(self, connection: BaseDatabaseWrapper) -> str | None:
        return "json" if connection.vendor == "postgresql" else super().db_type(connection)

    def get_db_prep_value(
        self, value: Any, connection: BaseDatabaseWrapper, prepared: bool = False
    ) -> Any:
        if connection.vendor != "postgresql":
            return super().get_db_prep_value(value, connection, prepared)
        from psycopg.types.json import Json

        return Json(value)

    def select_format(self, compiler: Any, sql: str, params: Any) -> tuple[str, Any]:
        # As text: psycopg parses `json`, which Django would then parse again, and PostgreSQL
        # tells no two of them apart, as DISTINCT asks it to.
        if compiler.connection.vendor == "postgresql":
            return f"{sql}::text", params
        return super().select_format(compiler, sql, params)
