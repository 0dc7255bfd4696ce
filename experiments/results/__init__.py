"""What the claims measured, and the paper's own numbers: tables and pictures."""
