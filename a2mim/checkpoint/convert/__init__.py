"""Convert: a checkpoint written as another library's own."""
