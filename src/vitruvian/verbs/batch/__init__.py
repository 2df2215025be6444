"""Thousands of sources: a manifest, workers, and a folder of results for each source."""
