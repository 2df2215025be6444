"""How good it is: distances from the truth, and scores."""
