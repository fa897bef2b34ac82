"""Halves of characters, which JavaScript leaves in its JSON where it cuts a text.

It cuts between the two escapes of one character, and no decoder takes the half that remains.
"""

import itertools
import re
from collections.abc import Callable
from typing import TypeVar

import msgspec

from exporter.model import HOUR

MAX_LONE_SURROGATES = 100_000
# Beyond any session's, so that one nonsensical row cannot spoil a sum for ever.
MAX_BYTES = 10**15
MAX_NANO_USD = 10**15
MAX_DURATION = 3653 * 24 * HOUR
_HIGH, _LOW = rb"\\u[dD][89abAB][0-9a-fA-F]{2}", rb"\\u[dD][c-fC-F][0-9a-fA-F]{2}"
_HALF = re.compile(rb"%b(?!%b)|(?<!%b)%b" % (_HIGH, _LOW, _HIGH, _LOW))
Decoded = TypeVar("Decoded")


def repair_lone_surrogates(decode: Callable[[bytes], Decoded], body: bytes) -> Decoded:
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
        for half in itertools.islice(_HALF.finditer(body), MAX_LONE_SURROGATES):
            whole[half.start() : half.end()] = rb"\ufffd"
        return decode(bytes(whole))
