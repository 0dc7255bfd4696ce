"""What can end a command beside a bug: two kinds of failure that a person can cause or meet, and a signal."""


class InputError(ValueError):
    """A setting, file or argument that cannot be used. The message shows the value, the rule and the way out."""


class RunError(RuntimeError):
    """Work that had to stop (data that went bad, a loss that is no number). What was written before is intact."""


class Preempted(KeyboardInterrupt):
    """A run that saved its state and left because SIGTERM or SIGUSR1 asked: run the same command with --resume again.

    Commands end with ``EXIT_CODE``, which no signal and no failure gives (it is EX_TEMPFAIL of sysexits.h).
    """

    EXIT_CODE = 75
