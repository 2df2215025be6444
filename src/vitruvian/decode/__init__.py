"""Decode network outputs to coordinates, and encode training targets."""
