"""Characters that a reader cannot see, made visible: nothing is hidden, and nothing is re-ordered."""

import re

#: Overrides and isolates of text direction, zero-width spaces, tags, fillers, control characters
#: and halves of surrogate pairs. No text needs them in order to be read.
_NEVER = (
    "\x00-\x08\x0b\x0e-\x1f\x7f-\x9f\u034f\u115f\u1160\u17b4\u17b5\u180e\u200b\u2028-\u202e"
    "\u2060-\u206f\u3164\ufeff\uffa0\ufff9-\ufffb\ud800-\udfff"
    "\U0001d173-\U0001d17a\U000e0000-\U000e0fff"
)
#: Joiners, marks of direction, variants and soft hyphens: some scripts and emoji need one of them
#: between two letters. A row of them, or a joiner in English, hides something.
_JOINERS = "\u00ad\u061c\u200c-\u200f\ufe00-\ufe0f"
_RUN = re.compile(f"[{_NEVER}{_JOINERS}]+")
_ONE_JOINER = re.compile(f"[{_JOINERS}]|\ufe0f\u200d")
_WORDY = re.compile("[!-~]")


def shown(text: str) -> str:
    """`text` with its hidden characters named, as in ``⟦U+202E⟧``. Never longer than tenfold."""
    return _RUN.sub(_named, text)


def count(text: str) -> int:
    """How many hidden characters `shown` would name."""
    return sum(len(run[0]) for run in _RUN.finditer(text) if _hides(run))


def line(text: str, length: int) -> str:
    """`text` on one line, at most `length` characters of it, with nothing hidden in it."""
    text = shown(" ".join(text[: 4 * length].split()))
    return text if len(text) <= length else text[: length - 1].rstrip() + "…"


def _hides(run: re.Match[str]) -> bool:
    if not _ONE_JOINER.fullmatch(run[0]):
        return True
    if run[0] not in "\u200c\u200d":
        return False
    around = (
        run.string[max(0, run.start() - 1) : run.start()],
        run.string[run.end() : run.end() + 1],
    )
    return any(_WORDY.fullmatch(neighbour) for neighbour in around)


def _named(run: re.Match[str]) -> str:
    if not _hides(run):
        return run[0]
    if len(set(run[0])) > 1:
        return f"⟦{len(run[0])} hidden characters⟧"
    times = f" ×{len(run[0])}" if len(run[0]) > 1 else ""
    return f"⟦U+{ord(run[0][0]):04X}{times}⟧"
