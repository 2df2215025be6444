"""Picture files: what they are by their content, and their pixels as 8-bit RGB, upright."""
