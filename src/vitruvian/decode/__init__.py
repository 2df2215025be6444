"""From what a network says to numbers, and back: what training draws, inference reads."""
