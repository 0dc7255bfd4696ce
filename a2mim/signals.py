"""Signals that ask a run to end: noted when they come, obeyed where the state is whole."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from typing import Any

from a2mim.errors import Preempted

# Ctrl-C of a person; the other two announce, from a job system or a shutdown, that the time is up
ASKING = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)


class Stop:
    """What has asked the run to end, if anything: ``asked`` is the number of a signal, or 0."""

    def __init__(self) -> None:
        self.asked = 0

    @contextlib.contextmanager
    def listening(self) -> Iterator[None]:
        """Inside, the signals are noted; a second Ctrl-C does not wait. Only the main thread can do that."""
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


def ended_by(number: int, message: str) -> KeyboardInterrupt:
    """The exception for a run that saved its state because of this signal."""
    kind = KeyboardInterrupt if number == signal.SIGINT else Preempted
    return kind(f"{name(number)}; {message}")


def name(number: int) -> str:
    """SIGTERM, ..."""
    return signal.Signals(number).name
