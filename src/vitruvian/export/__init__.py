"""PyTorch: a checkpoint becomes a file that runs without it."""
