"""The report: one HTML page that shows what results and runs hold; and the figures of the paper from such results."""
