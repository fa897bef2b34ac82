"""The clock for ages and deadlines."""

import time

_BOOTTIME: int | None = getattr(time, "CLOCK_BOOTTIME", None)  # Linux has it


def boottime() -> float:
    """Returns the seconds of a clock that never goes back and runs on while the machine is suspended.

    Where the system has no such clock, returns the monotonic one, which may stop while suspended.
    """
    return time.monotonic() if _BOOTTIME is None else time.clock_gettime(_BOOTTIME)
