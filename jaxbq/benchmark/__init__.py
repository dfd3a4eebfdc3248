"""The benchmark: training and every method against what a user would pick instead."""
