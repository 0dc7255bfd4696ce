"""Signals that ask a run to end: noted when they come, obeyed when the state can be saved."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from typing import Any

from a2mim.errors import Preempted

# Ctrl-C; the other two come from a job system or a shutdown and announce the end of the time
ASKING = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)


class Stop:
    """The signal that has asked the run to end: ``asked`` is its number, or 0."""

    def __init__(self) -> None:
        self.asked = 0

    @contextlib.contextmanager
    def listening(self) -> Iterator[None]:
        """Inside the block, signals are only noted; a second Ctrl-C raises at once. Works in the main thread only."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return

        def note(number: int, _: Any) -> None:
            if self.asked == number == signal.SIGINT:
                raise KeyboardInterrupt
            self.asked = number

        before = {number: signal.signal(number, note) for number in ASKING}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


@contextlib.contextmanager
def raised() -> Iterator[None]:
    """Inside the block, SIGTERM and SIGUSR1 raise ``Preempted``, as Ctrl-C raises ``KeyboardInterrupt``.

    A second one ends the process at once. Works in the main thread only.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def leave(number: int, _: Any) -> None:
        signal.signal(number, signal.SIG_DFL)
        raise Preempted(f"{name(number)}; what was saved is intact")

    before = {number: signal.signal(number, leave) for number in ASKING if number != signal.SIGINT}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def ended_by(number: int, message: str) -> KeyboardInterrupt:
    """The exception for a run that saved its state because of this signal."""
    kind = KeyboardInterrupt if number == signal.SIGINT else Preempted
    return kind(f"{name(number)}; {message}")


def name(number: int) -> str:
    """The name of a signal: SIGTERM, ..."""
    return signal.Signals(number).name
