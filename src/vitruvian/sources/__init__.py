"""Words to frames: images, videos, cameras, records."""
