"""The memory of one stream: who is who, smoothing, repair, places."""
