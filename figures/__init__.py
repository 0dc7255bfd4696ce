"""One module per figure: ``plot`` takes a tidy table (or arrays) and returns a matplotlib Figure. No torch here."""
