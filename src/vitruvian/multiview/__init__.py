"""Several calibrated cameras: people matched across views, and their keypoints triangulated."""
