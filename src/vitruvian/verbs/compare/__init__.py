"""Models side by side on the same pictures, and where they disagree."""
