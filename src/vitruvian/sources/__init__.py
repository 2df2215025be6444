"""Words to frames: pictures, videos, cameras, records."""
