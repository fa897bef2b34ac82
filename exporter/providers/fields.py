"""Fields of JSON objects that may be missing, null, or of another type than the API describes."""

import math
from collections.abc import Mapping

import msgspec

from exporter.client.errors import PayloadError
from exporter.labels import sanitize_project_id

MOST = 2**53  # beyond it a gauge's float is not exact, and no figure of an account is so large


def decode_object(body: bytes, what: str) -> Mapping[str, object]:
    """Returns a JSON object. Raises PayloadError for anything else."""
    decoded = decode(body, what)
    if not isinstance(decoded, dict):
        raise PayloadError(f"{what} is not an object; check base_url, and for a newer exporter")
    return decoded


def decode(body: bytes, what: str) -> object:
    """Returns decoded JSON. Raises PayloadError."""
    try:
        return msgspec.json.decode(body)
    except (msgspec.DecodeError, RecursionError) as error:
        raise PayloadError(f"{what} is not JSON; check base_url, and for a newer exporter") from error


def whole(value: object) -> int | None:
    """Returns a whole number that is not negative; None for anything else."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return value if type(value) is int and 0 <= value <= MOST else None


def amount(value: object) -> float | None:
    """Returns a finite number; None for anything else."""
    if type(value) not in (int, float):
        return None
    number = float(value)  # type: ignore[arg-type]  # its type is known
    return number if math.isfinite(number) and abs(number) <= MOST else None


def text(value: object) -> str | None:
    """Returns a text that is not empty; None for anything else."""
    return value if isinstance(value, str) and value else None


def label(value: object) -> str | None:
    """Returns a text as a label value, its printable characters, at most 100; None where there are none."""
    return sanitize_project_id(text(value)) or None
