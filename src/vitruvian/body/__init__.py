"""What a body is here: skeletons (tables of keypoints) and poses (where those are)."""
