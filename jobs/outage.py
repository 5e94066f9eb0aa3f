"""Which errors of the database are not the fault of what was asked of it."""

from django.db import InterfaceError, InternalError, OperationalError

#: SQLSTATEs of PostgreSQL, by how they begin: no connection, a read-only server after a failover,
#: rolled back, no lock in time, out of resources, shut down, a fault of its system. Not 54 and 57014,
#: a statement that is too complex or took too long: the row at hand may be why.
_AWAY = ("08", "25006", "40", "53", "55P03", "57P", "58")


def database_is_away(error: BaseException | None) -> bool:
    """Whether the same may go well a little later, with nothing changed."""
    if not isinstance(error, OperationalError | InterfaceError | InternalError):
        return False
    state = getattr(error.__cause__, "sqlstate", None)
    if state is None:
        return not isinstance(error, InternalError)
    return bool(state.startswith(_AWAY))
