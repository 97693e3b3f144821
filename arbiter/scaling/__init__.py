"""Grow and shrink: how many processes a watcher has follows its load."""
