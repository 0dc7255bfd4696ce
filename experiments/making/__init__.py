"""Scripts that make the files that ship with the package: images, checkpoints, the survey of architectures."""
