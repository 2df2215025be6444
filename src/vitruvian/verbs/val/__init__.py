"""How good models are on pictures whose truth is known."""
