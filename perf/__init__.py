"""Measured comparisons that anyone can run: `python -m perf.NAME`."""
