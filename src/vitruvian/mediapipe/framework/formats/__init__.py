"""MediaPipe's messages."""

from vitruvian.mediapipe.framework.formats import landmark_pb2 as landmark_pb2
