"""The machine of a measurement: processor, memory, operating system, and libraries."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from vitruvian.network.threads import cores

LIBRARIES = ("numpy", "opencv-python-headless", "av", "openvino", "onnxruntime", "scipy")
BUSY = 0.5  # share of cores already busy from which timings are noisy


@dataclass(frozen=True)
class MachineFacts:
    """The machine; None where the system does not report a value."""

    cpu: str
    cores: int | None
    cores_for_us: int  # that this process may use
    memory_gb: float | None  # 1e9 bytes
    os: str
    python: str
    vitruvian: str
    libraries: dict[str, str]  # name -> version
    load: float | None  # load average of the last minute: processes that want a core


@dataclass(frozen=True)
class LoadedMachine(MachineFacts):
    """The same, with the load average after the measurements."""

    load_at_end: float | None


def describe() -> MachineFacts:
    """Describe this machine, now."""
    from vitruvian import __version__

    return MachineFacts(
        cpu=_cpu(),
        cores=os.cpu_count(),
        cores_for_us=cores(),
        memory_gb=_memory_gb(),
        os=platform.platform(),
        python=platform.python_version(),
        vitruvian=__version__,
        libraries=dict(filter(None, map(_library, LIBRARIES))),
        load=load(),
    )


def load() -> float | None:
    """Load average of the last minute; None where the system does not report it."""
    return round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None


def machine_lines(machine: MachineFacts) -> list[str]:
    """The machine as text, with a warning if timings are noisy."""
    memory = f", {machine.memory_gb:g} GB" if machine.memory_gb else ""
    libraries = ", ".join(f"{name} {number}" for name, number in machine.libraries.items())
    said = [
        f"{machine.cpu}, {machine.cores_for_us} of {machine.cores} cores{memory}",
        f"{machine.os}, Python {machine.python}, vitruvian {machine.vitruvian}",
        libraries,
    ]
    busy = machine.load
    if busy is not None and busy > BUSY * (machine.cores or 1):
        said.append(
            f"load average {busy:g}: the machine is busy with other things, so times are noisy; "
            "compare models of one run with each other, not with other runs"
        )
    elif busy is not None:
        said.append(f"load average {busy:g}")
    return said


def peak_mb() -> float | None:
    """Peak resident memory of this process, 1e6 bytes; None if unknown."""
    status = Path("/proc/self/status")
    if status.exists():  # `getrusage` includes the parent's memory from before exec
        for line in status.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return round(int(line.split()[1]) * 1024 / 1e6, 1)
    if sys.platform == "win32":
        return None
    import resource

    unit = 1 if sys.platform == "darwin" else 1024
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6, 1)


def _library(name: str) -> tuple[str, str] | None:
    try:
        return name, version(name)
    except PackageNotFoundError:
        return None


def _cpu() -> str:
    """The processor's name as reported by the system."""
    about = Path("/proc/cpuinfo")
    if about.exists():
        for line in about.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    if sys.platform == "darwin":
        line = ["sysctl", "-n", "machdep.cpu.brand_string"]
        return subprocess.run(line, capture_output=True, text=True, check=False).stdout.strip()
    return platform.processor() or platform.machine()


def _memory_gb() -> float | None:
    if not hasattr(os, "sysconf") or "SC_PHYS_PAGES" not in os.sysconf_names:
        return None
    return round(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 1e9, 1)
