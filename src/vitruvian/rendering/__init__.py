"""Render poses: images, videos, HTML."""
