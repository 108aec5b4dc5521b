"""How many threads a process may use, and what the processor is called."""

from __future__ import annotations

import math
import os
import platform
import re
from pathlib import Path

CPU_INFO = Path("/proc/cpuinfo")
CGROUP_V2 = Path("/sys/fs/cgroup/cpu.max")
CGROUP_V1_QUOTA = Path("/sys/fs/cgroup/cpu/cpu.cfs_quota_us")
CGROUP_V1_PERIOD = Path("/sys/fs/cgroup/cpu/cpu.cfs_period_us")


def cgroup_quota() -> float | None:
    """CPU quota of the container in cores, or None where none is set (cgroup v2, then v1)."""
    try:
        quota, period = CGROUP_V2.read_text().split()[:2]
    except (OSError, ValueError):
        try:
            quota = CGROUP_V1_QUOTA.read_text()
            period = CGROUP_V1_PERIOD.read_text()
        except OSError:
            return None
    if quota.strip() in ("max", "-1"):
        return None
    return int(quota) / int(period)


def usable_cores() -> int:
    """Cores that this process may use: its affinity, capped by the container's quota. At least 1."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = cgroup_quota()
    return max(1, min(cores, math.ceil(quota))) if quota else cores


def thread_count() -> int:
    """``OMP_NUM_THREADS`` where the user has set it, else `usable_cores`: runtimes by themselves ignore container quotas."""
    wanted = os.environ.get("OMP_NUM_THREADS", "")
    return int(wanted) if wanted.isdigit() and int(wanted) > 0 else usable_cores()


def processor_name() -> str:
    """What the processor calls itself, with the cores used of it: "2 cores of AMD EPYC"."""
    try:
        named = re.search(r"^model name\s*:\s*(.+)$", CPU_INFO.read_text(), re.MULTILINE)
    except OSError:
        named = None
    count = thread_count()
    name = named[1].strip() if named else platform.processor() or platform.machine()
    return f"{count} core{'s' if count > 1 else ''} of {name}"
