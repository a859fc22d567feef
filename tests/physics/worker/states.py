"""What the system knows of processes."""

from __future__ import annotations

import time
from pathlib import Path


def lives(pid: int) -> bool:
    """Whether a process runs: it is there and no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


def ends(pid: int, within_s: float = 5.0) -> bool:
    """Whether it ends in time."""
    end = time.monotonic() + within_s
    while lives(pid) and time.monotonic() < end:
        time.sleep(0.02)
    return not lives(pid)


def descriptors() -> int:
    """How many this process has open."""
    return len(list(Path("/proc/self/fd").iterdir()))


def logs(tmp_path: Path) -> list[Path]:
    """Logs left behind."""
    return sorted(tmp_path.glob("worker-logs-*/*.log"))
