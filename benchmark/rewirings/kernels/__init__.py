"""Compiled code, imported by the methods when they run: listing them needs no numba."""
