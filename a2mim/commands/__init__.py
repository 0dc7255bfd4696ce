"""The command lines: options in, one call, one line of error out."""
