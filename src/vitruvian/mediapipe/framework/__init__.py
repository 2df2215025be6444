"""Where MediaPipe has its messages."""
