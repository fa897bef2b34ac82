"""File systems that are full, or cannot be written: a real one where root may mount it, else limits."""

import os
import resource
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.processes import Process

MEBIBYTE = 1 << 20


def _mounts(*arguments: str | Path) -> bool:
    try:
        return subprocess.run(["mount", *arguments], capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        return False


@contextmanager
def disk(folder: Path) -> Iterator[Path]:
    """A file system of 1 MiB; without the right to mount one, the test is skipped: its twin is not."""
    folder.mkdir()
    size = f"size={MEBIBYTE}"
    if os.geteuid() != 0 or not _mounts("-t", "tmpfs", "-o", size, "ledger-test", folder):
        pytest.skip("only root may mount a file system")
    try:
        yield folder
    finally:
        # Lazily: what still holds a file there ends with the test.
        subprocess.run(["umount", "--lazy", folder], check=True)


@contextmanager
def closable(folder: Path) -> Iterator[Path]:
    """A folder that can be made read-only: for root, who may write whatever its rights are, a disk."""
    if os.geteuid() == 0:
        with disk(folder):
            yield folder
    else:
        folder.mkdir()
        yield folder


@contextmanager
def full(folder: Path) -> Iterator[None]:
    """No byte more fits onto the disk."""
    stuffing = folder / "stuffing"
    try:
        with stuffing.open("wb", buffering=0) as file:
            for size in (4096, 1):
                while _fits(file.write, bytes(size)):
                    pass
        yield
    finally:
        stuffing.unlink()


def _fits(write: object, some: bytes) -> bool:
    try:
        return bool(write(some))  # type: ignore[operator]
    except OSError:
        return False


@contextmanager
def no_growth(process: Process) -> Iterator[None]:
    """The process cannot write to any file: its limit of a file's size is 0."""
    soft, hard = resource.prlimit(process.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (0, hard))
    try:
        yield
    finally:
        resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (soft, hard))


@contextmanager
def read_only(folder: Path) -> Iterator[None]:
    """Nothing in a `closable` folder can be written: its disk is read-only, or the rights are not there."""
    if os.geteuid() == 0:
        assert _mounts("-o", "remount,ro", folder)
        try:
            yield
        finally:
            assert _mounts("-o", "remount,rw", folder)
        return
    files = {folder: 0o755, **dict.fromkeys(folder.iterdir(), 0o644)}
    for path, mode in files.items():
        path.chmod(mode & 0o555)
    try:
        yield
    finally:
        for path, mode in files.items():
            path.chmod(mode)
