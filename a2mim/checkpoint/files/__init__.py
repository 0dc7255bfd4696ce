"""Checkpoint files: bytes read safely, where runs write, what a file holds."""
