"""Connections to an SQLite file, and one that is kept to see whether others have committed."""

import os
import sqlite3
from threading import Lock
from typing import Any, TypeAlias
from urllib.parse import quote

Rows: TypeAlias = list[tuple[Any, ...]]


class Watch:
    """A connection that is kept to see whether others have committed. Threads may share it.

    It does not look at the file itself when that has changed: a checkpoint has moved the WAL into it, or
    somebody has overwritten it, which only a new connection would notice.
    """

    def __init__(self, path: str) -> None:
        self._path, self._lock = path, Lock()
        self._connection: sqlite3.Connection | None = None
        self._file: tuple[int, int] | None = None
        self._found: dict[str, tuple[int, Rows]] = {}

    def rows(self, query: str, seconds: float) -> Rows | None:
        """Returns what a query finds, kept until somebody else has committed.

        None where another connection has to look: the file has changed, is locked, or cannot be opened.
        """
        if not self._lock.acquire(timeout=max(0.0, seconds)):
            return None
        try:
            return None if self._has_changed() else self._rows(query)
        except sqlite3.OperationalError:
            return None
        finally:
            self._lock.release()

    def _has_changed(self) -> bool:
        found = os.stat(self._path)  # noqa: PTH116 - asked for at each scrape
        before, self._file = self._file, (found.st_mtime_ns, found.st_size)
        if self._file != before:
            self._close()
        return self._file != before

    def _rows(self, query: str) -> Rows:
        if self._connection is None:
            self._connection = connect(self._path, "mode=ro", shared=True)
        # Asked for first: a commit before the query's snapshot is noticed at the next call.
        (version,) = self._connection.execute("PRAGMA data_version").fetchone()
        known = self._found.get(query)
        if known is None or known[0] != version:
            known = self._found[query] = version, self._connection.execute(query).fetchall()
        return known[1]

    def close(self) -> None:
        """Close the connection; another call of `rows` opens one."""
        with self._lock:
            self._close()

    def _close(self) -> None:
        self._found.clear()
        if self._connection is not None:
            self._connection.close()
        self._connection = None


def connect(path: str, mode: str, *, shared: bool = False) -> sqlite3.Connection:
    """Returns a connection; `shared` by threads, of which one at a time uses it."""
    return sqlite3.connect(
        f"file:{quote(path)}?{mode}",
        uri=True,
        isolation_level=None,
        timeout=0,
        check_same_thread=not shared,
    )


def error_name(error: Exception) -> str:
    """Returns SQLite's name of an error, such as SQLITE_BUSY; empty for other errors."""
    return str(getattr(getattr(error, "orig", error), "sqlite_errorname", ""))
