"""The networks in PyTorch, one file a family; parameter names equal those of the references."""
