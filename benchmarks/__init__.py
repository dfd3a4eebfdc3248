"""Timing jaxbq against what a user would pick instead. Run from a checkout; not installed."""
