"""Training scripts, one per network."""
