"""Sinks: where poses go. Each is a context manager with `write(frame, poses)`."""
