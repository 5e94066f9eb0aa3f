"""An end to work that might not end by itself."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


class OverTime(Exception):
    """The time is used up."""


@contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """Raise `OverTime` in the block after `seconds`. Only a main thread can be interrupted; what a
    worker of the queue runs is in one."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def ring(*_signal: Any) -> None:
        raise OverTime

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
