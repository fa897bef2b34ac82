"""Fields of JSON objects that may be missing, null, or of another type than the API describes."""

from collections.abc import Mapping

import msgspec

from exporter.client.errors import PayloadError
from exporter.labels import sanitize_project_id
from exporter.providers.decoding import repair_lone_surrogates
from exporter.providers.rows import UNREADABLE

MAX_BYTES = 1 << 22  # of an answer: projects by the ten thousand, though only a hundred are shown
MAX_FIELDS = 200_000  # in it: decoded, each takes many times its size
MOST = 2**53  # beyond it a gauge's float is not exact, and no figure of an account is so large


def decode_object(body: bytes, what: str) -> Mapping[str, object]:
    """Returns a JSON object. Raises PayloadError for anything else."""
    decoded = decode(body, what)
    if not isinstance(decoded, dict):
        raise PayloadError(f"{what} is not an object; check base_url, and for a newer exporter")
    return decoded


def decode(body: bytes, what: str) -> object:
    """Returns decoded JSON. Raises PayloadError, also for a body that is too large to be decoded."""
    if len(body) > MAX_BYTES or body.count(b",") > MAX_FIELDS:
        raise PayloadError(f"{what} is far longer than any; check base_url")
    try:
        return repair_lone_surrogates(msgspec.json.decode, body)
    except UNREADABLE as error:
        raise PayloadError(f"{what} is not JSON; check base_url, and for a newer exporter") from error


def whole(value: object) -> int | None:
    """Returns a whole number that is not negative; None for anything else."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return value if type(value) is int and 0 <= value <= MOST else None


def amount(value: object) -> float | None:
    """Returns a finite number; None for anything else."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    return float(value) if abs(value) <= MOST else None  # nor is NaN


def text(value: object) -> str | None:
    """Returns a text that is not empty; None for anything else."""
    return value if isinstance(value, str) and value else None


def label(value: object) -> str | None:
    """Returns a text as a label value, its printable characters, at most 100; None where it is blank."""
    return sanitize_project_id(text(value)).strip() or None
