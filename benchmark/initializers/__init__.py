"""Initializers: one file a method, entered by its decorator."""
