"""Where things are in images and in front of cameras. Arrays in, arrays out."""
