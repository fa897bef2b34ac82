"""The process: `cloud-browser-exporter`, and `python -m exporter`."""

import os
import signal
import sys


def main() -> int:
    """Run the command line; returns the exit code.

    Signals are blocked until the command handles them: those that come earlier wait. All threads inherit it.
    """
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGHUP, signal.SIGINT, signal.SIGTERM})
    _open_closed_streams()
    from exporter import cli  # noqa: PLC0415 - it takes the longest part of the start, and signals may come

    return cli.main()


def _open_closed_streams() -> None:
    # Else the next file to be opened, such as the ledger, gets what is written to stdout or stderr.
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest that is free
    if sys.stdout is None:
        sys.stdout = os.fdopen(1, "w", encoding="utf-8", closefd=False)
    if sys.stderr is None:
        sys.stderr = os.fdopen(2, "w", encoding="utf-8", closefd=False)


if __name__ == "__main__":
    sys.exit(main())
