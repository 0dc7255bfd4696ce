"""Times as people write them: ``1 h 30 min`` on the screen and in reports, ``90s`` or ``2h`` on the command line."""

from __future__ import annotations

import math

from a2mim.errors import InputError

UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def describe(seconds: float) -> str:
    """Seconds in words, to two units.

    >>> describe(1.25), describe(42), describe(90), describe(7260), describe(100_000)
    ('1.2 s', '42 s', '1 min 30 s', '2 h 1 min', '1 d 4 h')
    """
    if seconds < 59.5:
        return f"{seconds:.0f} s" if seconds >= 10 else f"{seconds:.1f} s"
    if seconds < 600:
        return "{} min {} s".format(*divmod(round(seconds), 60))
    minutes = round(seconds / 60)
    if minutes < 60:
        return f"{minutes} min"
    if minutes < 24 * 60:
        return "{} h {} min".format(*divmod(minutes, 60))
    return "{} d {} h".format(*divmod(round(minutes / 60), 24))


def parse(text: str) -> float:
    """Seconds from a number and a unit.

    >>> parse("90s"), parse("1.5h")
    (90.0, 5400.0)

    Raises:
        InputError: not a positive number followed by s, m, h or d.
    """
    number, unit = str(text)[:-1], str(text)[-1:]
    try:
        seconds = float(number) * UNITS[unit]
    except (ValueError, KeyError):
        raise InputError(f"'{text}' is not a time: write 90s, 10m, 2h or 1d") from None
    if not 0 < seconds < math.inf:
        raise InputError(f"the time '{text}' must be greater than 0 and finite")
    return seconds
