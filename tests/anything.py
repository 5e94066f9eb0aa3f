"""JSON as hostile as it gets, for property tests."""

import json

from hypothesis import strategies as st

#: Text with what databases do not store: NUL and lone surrogates.
text = st.text(st.characters() | st.sampled_from("\x00\ud800\udfff\ufffd\u2028"), max_size=20)

#: Whatever a JSON parser of Python gives: NaN and numbers of any size included.
anything = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.sampled_from([10**400, -(2**63), 2**63])
    | st.floats()
    | text,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(text, inner, max_size=4),
    max_leaves=12,
)


def is_storable(value: object) -> bool:
    """Whether both databases take it as JSON: no NUL, no lone surrogate, no NaN."""
    try:
        stored = json.dumps(value, allow_nan=False, ensure_ascii=False)
        stored.encode()
    except (ValueError, TypeError):
        return False
    # What is left of a pair of backslashes is not an escape.
    return "\\u0000" not in stored.replace("\\\\", "")
