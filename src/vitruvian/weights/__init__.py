"""Weights files: download, verify, and read as inert data."""
