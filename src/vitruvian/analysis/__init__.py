"""What people do: angles, states of joints, postures, over one frame or over time."""
