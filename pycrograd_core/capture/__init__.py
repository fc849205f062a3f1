"""Capture: trace a step once on symbolic matrices, improve the resulting Program, and replay it."""
