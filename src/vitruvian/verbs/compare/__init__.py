"""Models side by side on the same images, and where they disagree."""
