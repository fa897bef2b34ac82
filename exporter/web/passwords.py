"""Passwords: who may pass, in the same time for a name that is there as for one that is not.

A check costs a part of a second of one core, so one runs at a time, in a thread; what is wanted meanwhile
waits in a bounded queue, and results are kept. A flood of wrong passwords thus holds up nobody whose
right one is known already.
"""

import base64
import binascii
import hmac
import secrets
from asyncio import Future, ensure_future, get_running_loop, shield
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import bcrypt
import msgspec

WAITING = 32  # checks, the one that runs included
WRONG_KEPT = 100
HEADER_BYTES = 1024
PASSWORD_BYTES = 72  # bcrypt takes no more


class BusyError(Exception):
    """Too many passwords wait for their check."""


class Credentials(msgspec.Struct, frozen=True):
    """What a client says of itself, as bytes."""

    user: bytes
    password: bytes

    def __repr__(self) -> str:
        return "Credentials(...)"


def credentials(header: bytes) -> Credentials | None:
    """What an Authorization header of the scheme Basic (RFC 7617) says; None if it is not well made."""
    scheme, _, token = header.partition(b" ")
    if scheme.lower() != b"basic" or len(header) > HEADER_BYTES:
        return None
    try:
        user, colon, password = base64.b64decode(token.strip(b" "), validate=True).partition(b":")
    except binascii.Error:
        return None
    return Credentials(user, password) if colon and b"\0" not in user + password else None


class Passwords:
    """The users' bcrypt hashes by name; without any, everybody may pass. For one event loop.

    check: whether a password of at most 72 bytes is that of a hash; runs in a thread.
    """

    def __init__(self, check: Callable[[bytes, bytes], bool] = bcrypt.checkpw) -> None:
        self._check = check
        self._secret = secrets.token_bytes(32)
        self._thread = ThreadPoolExecutor(1, "passwords")
        self._waiting: dict[bytes, Future[bool]] = {}
        self._users: dict[bytes, bytes] = {}
        self._right: set[bytes] = set()  # one for each user at most
        self._wrong: dict[bytes, None] = {}

    def __bool__(self) -> bool:
        return bool(self._users)

    def replace(self, users: Mapping[bytes, bytes]) -> None:
        """From now on these are the users; what is known of others is forgotten."""
        if users != self._users:
            self._users = dict(users)
            self._right, self._wrong = set(), {}

    async def admit(self, header: bytes) -> bool:
        """Whether an Authorization header has a user's name and password. Raises BusyError."""
        given = credentials(header)
        if given is None:
            return False
        highest = max(map(_cost, self._users.values()))
        known = given.user in self._users
        hashed = self._users.get(given.user) or _dummy_hash(highest)
        # No part holds a zero byte, so that no two triples are one text.
        text = b"\0".join((given.user, hashed, given.password))
        mark = hmac.digest(self._secret, text, "sha256")
        if mark in self._right or mark in self._wrong:
            return mark in self._right
        if mark not in self._waiting:
            if len(self._waiting) >= WAITING:
                raise BusyError
            checked = self._checked(mark, given.password, hashed, highest, known=known)
            self._waiting[mark] = ensure_future(checked)
        return await shield(self._waiting[mark])

    async def _checked(
        self, mark: bytes, password: bytes, hashed: bytes, highest: int, *, known: bool
    ) -> bool:
        try:
            work = partial(self._same, password, hashed, highest)
            same = await get_running_loop().run_in_executor(self._thread, work)
        finally:
            del self._waiting[mark]
        right = same and known
        if right:
            self._right.add(mark)
        else:
            self._wrong[mark] = None
            if len(self._wrong) > WRONG_KEPT:
                del self._wrong[next(iter(self._wrong))]
        return right

    def _same(self, password: bytes, hashed: bytes, highest: int) -> bool:
        """Whether the hash is the password's; takes 2^highest rounds, whatever the hash's cost."""
        short = password[:PASSWORD_BYTES]
        same = self._check(short, hashed)
        for cost in range(_cost(hashed), highest):  # 2^c + 2^c + 2^(c+1) + ... = 2^highest
            self._check(short, _dummy_hash(cost))
        return same and short == password


def _cost(hashed: bytes) -> int:
    return int(hashed[4:6])


def _dummy_hash(cost: int) -> bytes:
    """A hash of that cost that is no password's that anybody could find."""
    return b"$2b$%02d$%s" % (cost, b"." * 53)
