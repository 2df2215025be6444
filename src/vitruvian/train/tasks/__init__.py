"""One training each."""
