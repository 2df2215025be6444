"""Poses to files, and back."""
