"""YOLOv8-pose: loss, augmentation and training task."""
