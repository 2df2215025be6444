"""Files of weights: fetched, checked, and read as inert data."""
