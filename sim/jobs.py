"""How many worker threads to use."""

from __future__ import annotations

import os


def default_jobs() -> int:
    """Worker threads used when the caller names no number."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
