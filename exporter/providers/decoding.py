"""Halves of characters, which JavaScript leaves in its JSON where it cuts a text.

It cuts between the two escapes of one character, and no decoder takes the half that remains.
"""

import itertools
import re
from collections.abc import Callable
from typing import TypeVar

import msgspec

MOST_HALVES = 100_000
_HIGH, _LOW = rb"\\u[dD][89abAB][0-9a-fA-F]{2}", rb"\\u[dD][c-fC-F][0-9a-fA-F]{2}"
_HALF = re.compile(rb"%b(?!%b)|(?<!%b)%b" % (_HIGH, _LOW, _HIGH, _LOW))
Decoded = TypeVar("Decoded")


def mended(decode: Callable[[bytes], Decoded], body: bytes) -> Decoded:
    """What is decoded of a body, if need be with a mark in place of each half.

    Raises:
        DecodeError: msgspec's, as `decode` raises it; also for more halves than JavaScript would leave.
    """
    try:
        return decode(body)
    except msgspec.ValidationError:
        raise
    except msgspec.DecodeError:
        # In its place, for the pieces of a hostile body would take many times its size.
        whole = bytearray(body)
        for half in itertools.islice(_HALF.finditer(body), MOST_HALVES):
            whole[half.start() : half.end()] = rb"\ufffd"
        return decode(bytes(whole))
