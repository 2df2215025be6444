"""Where things are in pictures and in front of cameras. Arrays in, arrays out."""
