"""Networks in PyTorch, one file per family; parameters are named as in the references."""
