"""Training and export: the only home of PyTorch. Nothing else of vitruvian imports it."""
