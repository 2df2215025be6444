"""The memory of one stream: who is who, then repair, smoothing and places, in this order."""
