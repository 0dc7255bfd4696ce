"""The foreseen endings of a command: two kinds of failure, and a signal."""


class InputError(ValueError):
    """A setting, file or argument that cannot be used. The message shows the value, the rule and what to do."""


class RunError(RuntimeError):
    """Work that had to stop (unreadable data, a loss that is not finite). What was written before is intact."""


class Preempted(KeyboardInterrupt):
    """A command that SIGTERM or SIGUSR1 asked to stop; a training saved its state. Continue it with --resume.

    Commands then exit with ``EXIT_CODE`` (EX_TEMPFAIL of sysexits.h), which no failure and no signal gives.
    """

    EXIT_CODE = 75
