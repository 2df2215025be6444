"""Live: frames pushed by a caller, and the web page with its server and triggers."""
