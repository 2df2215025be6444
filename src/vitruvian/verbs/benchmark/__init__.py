"""Speed of models on this machine."""
