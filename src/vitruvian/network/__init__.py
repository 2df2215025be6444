"""Networks: files that are fetched once, checked, and opened as functions from arrays to arrays."""
