"""A board's plots: SVG files that read in light and dark and come out byte by byte the same."""
