"""The two kinds of failure a person can cause or meet; everything else is a bug and keeps its traceback."""


class InputError(ValueError):
    """A setting, file or argument that cannot be used. The message shows the value, the rule and the way out."""


class RunError(RuntimeError):
    """Work that had to stop (data that went bad, a loss that is no number). What was written before is intact."""
