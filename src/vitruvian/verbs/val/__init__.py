"""Accuracy of models on annotated data."""
