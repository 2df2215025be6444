"""Models beside each other: how fast they are, and where they disagree."""
