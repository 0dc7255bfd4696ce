"""One module per analysis; each is a function from a model and images to a result with error bars."""
