"""The clock for ages and deadlines."""

import time

_BOOTTIME: int | None = getattr(time, "CLOCK_BOOTTIME", None)  # Linux has it


def boottime() -> float:
    """Seconds of a clock that never goes back and runs on while the machine is suspended.

    Where the system has no such clock, the monotonic one, which may stand still then.
    """
    return time.monotonic() if _BOOTTIME is None else time.clock_gettime(_BOOTTIME)
