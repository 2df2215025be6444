"""Poses as pictures, videos and pages."""
