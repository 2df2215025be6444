"""No telemetry of the libraries that run networks."""

import os


def silence() -> None:
    """Disable telemetry of libraries by environment variables that they read at import."""
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"
    os.environ["NNCF_CI"] = "1"
