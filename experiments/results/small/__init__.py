"""Results of the claims at the scale `small`."""
