from typing import Any

from django.db import models
from django.db.backends.base.base import BaseDatabaseWrapper


class OrderedJSONField(models.JSONField):
    """JSON whose objects keep the order of their keys.

    PostgreSQL's `jsonb`, in which Django keeps JSON, puts short keys before long ones, whatever
    was stored. A form asks in the order of its schema, a model fills in an answer in the order of
    the schema that it was given, and people read it in that. PostgreSQL's `json` keeps the text
    as it was; it cannot be compared with `=`, which nothing here does.
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

    def from_db_value(self, value: Any, expression: Any, connection: BaseDatabaseWrapper) -> Any:
        # psycopg has parsed what is `json` already; Django asks it not to only for `jsonb`.
        if connection.vendor == "postgresql":
            return value
        return super().from_db_value(value, expression, connection)
