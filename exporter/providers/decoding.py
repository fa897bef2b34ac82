"""Decoding of JSON that JavaScript wrote: lone surrogates, and the bounds of plausible figures.

JavaScript cuts a string between the two escapes of one character; JSON decoders refuse the one that remains.
"""

import itertools
import re
from collections.abc import Callable
from typing import TypeVar

import msgspec

from exporter.model import HOUR, SECOND

MAX_LONE_SURROGATES = 100_000
# Beyond any session's: one implausible row must not distort a counter for ever.
MAX_BYTES = 10**15
MAX_NANO_USD = 10**15
MAX_DURATION = 3653 * 24 * HOUR
MAX_CLOCK_NOISE = 60 * SECOND  # of two clocks of one provider: an end may lie this much before its start
_HIGH, _LOW = rb"\\u[dD][89abAB][0-9a-fA-F]{2}", rb"\\u[dD][c-fC-F][0-9a-fA-F]{2}"
_LONE = re.compile(rb"%b(?!%b)|(?<!%b)%b" % (_HIGH, _LOW, _HIGH, _LOW))
Decoded = TypeVar("Decoded")


def repair_lone_surrogates(decode: Callable[[bytes], Decoded], body: bytes) -> Decoded:
    """Decodes a body, if need be with U+FFFD in place of each lone surrogate.

    Raises:
        DecodeError: msgspec's, as `decode` raises it; also for more than `MAX_LONE_SURROGATES`.
    """
    try:
        return decode(body)
    except msgspec.ValidationError:
        raise
    except msgspec.DecodeError:
        # In place: split into pieces, a hostile body would take many times its size.
        whole = bytearray(body)
        for half in itertools.islice(_LONE.finditer(body), MAX_LONE_SURROGATES):
            whole[half.start() : half.end()] = rb"\ufffd"
        return decode(bytes(whole))
