"""Formats: where each codebase puts its encoder in a file, and which file is of which."""
