"""What the provider counted, added up over turns."""

from collections.abc import Mapping, Sequence
from typing import Any

#: Deeper than any usage that was ever seen.
_DEEPEST = 5


def summed(usages: Sequence[Any]) -> dict[str, Any] | None:
    """The counts of several turns together, key by key; None where no turn has any.

    What is no count in the last turn that has the key is kept from there as it is.
    """
    known = [usage for usage in usages if isinstance(usage, dict)]
    if not known:
        return None
    return known[0] if len(known) == 1 else _added(known, 0)


def _added(usages: Sequence[Mapping[str, Any]], depth: int) -> dict[str, Any]:
    total: dict[str, Any] = {}
    for key in dict.fromkeys(key for usage in usages for key in usage):
        values = [usage[key] for usage in usages if key in usage]
        counts = [v for v in values if isinstance(v, int) and not isinstance(v, bool)]
        inner = [v for v in values if isinstance(v, dict)]
        if counts:
            total[key] = sum(counts)
        elif inner and depth < _DEEPEST:
            total[key] = _added(inner, depth + 1)
        else:
            total[key] = values[-1]
    return total
