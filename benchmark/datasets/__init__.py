"""Data sets: one file a source, entered by its decorator."""
