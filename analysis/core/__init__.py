"""What all analyses share: subjects, images, parts of long measurements, statistics, files."""
