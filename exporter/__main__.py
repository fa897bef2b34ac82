"""The process: `cloud-browser-exporter`, and `python -m exporter`."""

import signal
import sys


def main() -> int:
    """Run the command line; returns the exit code.

    Signals are blocked until the command handles them: those that come earlier wait. All threads inherit it.
    """
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGHUP, signal.SIGINT, signal.SIGTERM})
    from exporter import cli  # noqa: PLC0415 - it takes the longest part of the start, and signals may come

    return cli.main()


if __name__ == "__main__":
    sys.exit(main())
