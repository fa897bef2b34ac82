"""Passwords, their hashes, and a check that tells what it was asked."""

import base64
import threading

import bcrypt

RIGHT, WRONG = b"correct horse", b"battery staple"


def hashed(password: bytes, cost: int = 4, prefix: bytes = b"2b") -> bytes:
    return bcrypt.hashpw(password, bcrypt.gensalt(cost)).replace(b"$2b$", b"$" + prefix + b"$")


def basic(user: bytes, password: bytes) -> bytes:
    return b"Basic " + base64.b64encode(user + b":" + password)


class Recorder:
    """bcrypt, with a record of the costs that were checked; waits while `gate` is closed."""

    def __init__(self) -> None:
        self.costs: list[int] = []
        self.passwords: list[bytes] = []
        self.gate, self.begun = threading.Event(), threading.Event()
        self.gate.set()
        self.running = threading.Semaphore(1)

    def check(self, password: bytes, wanted: bytes) -> bool:
        assert self.running.acquire(blocking=False), "two at a time"
        self.begun.set()
        assert self.gate.wait(60)
        self.costs.append(int(wanted[4:6]))
        self.passwords.append(password)
        self.running.release()
        # Of a high cost, what it comes to is known without the work.
        return int(wanted[4:6]) < 8 and bcrypt.checkpw(password, wanted)
