"""Password checks that take as long for unknown users as for known ones.

A check takes a part of a second of one core, so checks run one at a time, in a thread, from a bounded queue,
and results are cached. A flood of wrong passwords does not delay clients that have authenticated before.
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

WAITING = 32  # checks queued, the running one included
WRONG_KEPT = 100  # wrong passwords whose results are cached
HEADER_BYTES = 1024
PASSWORD_BYTES = 72  # bcrypt takes no more


class BusyError(Exception):
    """Too many password checks are queued."""


class Credentials(msgspec.Struct, frozen=True):
    """A client's user name and password, as bytes."""

    user: bytes
    password: bytes

    def __repr__(self) -> str:
        return "Credentials(...)"


def credentials(header: bytes) -> Credentials | None:
    """Parse an Authorization header of the Basic scheme (RFC 7617); None if it is malformed."""
    scheme, _, token = header.partition(b" ")
    if scheme.lower() != b"basic" or len(header) > HEADER_BYTES:
        return None
    try:
        user, colon, password = base64.b64decode(token.strip(b" "), validate=True).partition(b":")
    except binascii.Error:
        return None
    return Credentials(user, password) if colon and b"\0" not in user + password else None


class Passwords:
    """The users' bcrypt hashes by name. Without users it is false. For one event loop.

    check: whether a password of at most 72 bytes is that of a hash; runs in a thread.
    """

    def __init__(self, check: Callable[[bytes, bytes], bool] = bcrypt.checkpw) -> None:
        self._check = check
        self._secret = secrets.token_bytes(32)
        self._thread = ThreadPoolExecutor(1, "passwords")
        self._waiting: dict[bytes, Future[bool]] = {}
        self._users: dict[bytes, bytes] = {}
        self._valid_cache: set[bytes] = set()  # one for each user at most
        self._invalid_cache: dict[bytes, None] = {}

    def __bool__(self) -> bool:
        return bool(self._users)

    def replace(self, users: Mapping[bytes, bytes]) -> None:
        """Replace all users; cached results of the previous ones are dropped."""
        if users != self._users:
            self._users = dict(users)
            self._valid_cache, self._invalid_cache = set(), {}

    async def authenticate(self, header: bytes) -> bool:
        """Returns whether an Authorization header names a user and its password. Raises BusyError."""
        given = credentials(header)
        if given is None:
            return False
        highest = max(map(_cost, self._users.values()))
        known = given.user in self._users
        hashed = self._users.get(given.user) or _dummy_hash(highest)
        # No part holds a zero byte, so that no two triples are one text.
        text = b"\0".join((given.user, hashed, given.password))
        digest = hmac.digest(self._secret, text, "sha256")
        if digest in self._valid_cache or digest in self._invalid_cache:
            return digest in self._valid_cache
        if digest not in self._waiting:
            if len(self._waiting) >= WAITING:
                raise BusyError
            checked = self._checked(digest, given.password, hashed, highest, known=known)
            self._waiting[digest] = ensure_future(checked)
        return await shield(self._waiting[digest])

    async def _checked(
        self, digest: bytes, password: bytes, hashed: bytes, highest: int, *, known: bool
    ) -> bool:
        try:
            work = partial(self._same, password, hashed, highest)
            same = await get_running_loop().run_in_executor(self._thread, work)
        finally:
            del self._waiting[digest]
        right = same and known
        if right:
            self._valid_cache.add(digest)
        else:
            self._invalid_cache[digest] = None
            if len(self._invalid_cache) > WRONG_KEPT:
                del self._invalid_cache[next(iter(self._invalid_cache))]
        return right

    def _same(self, password: bytes, hashed: bytes, highest: int) -> bool:
        """Compare in 2^highest rounds, whatever the hash's own cost."""
        short = password[:PASSWORD_BYTES]
        same = self._check(short, hashed)
        for cost in range(_cost(hashed), highest):  # 2^c + 2^c + 2^(c+1) + ... = 2^highest
            self._check(short, _dummy_hash(cost))
        return same and short == password


def _cost(hashed: bytes) -> int:
    return int(hashed[4:6])


def _dummy_hash(cost: int) -> bytes:
    """A well-formed hash that matches no password (constant-time check for unknown users)."""
    return b"$2b$%02d$%s" % (cost, b"." * 53)
