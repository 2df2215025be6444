"""Inference with OpenVINO and ONNX Runtime: a network is a function from arrays to arrays."""
