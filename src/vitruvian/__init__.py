"""vitruvian: find people in photos, videos and live streams, and say where their joints are."""
__version__="0.1.0"
