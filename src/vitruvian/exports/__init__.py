"""PyTorch export: convert a checkpoint to a file that runs without PyTorch."""
