"""Labels of a session's metadata: the values of the configured keys, as label values.

labels = MetadataLabels((("team", "team"),))
struct = labels.added_to(SessionRow, "user_metadata")    # of each row, only these keys are decoded
labels.of(row)                                           # (("team", "checkout"),)
"""

import json
from collections.abc import Iterable
from operator import attrgetter
from typing import Any, TypeVar

import msgspec
from msgspec.structs import astuple

from exporter.labels import sanitize_project_id
from exporter.model import MetadataPairs

CACHE_SIZE = 4096  # sessions with equal values have equal labels
MAX_CACHED_BYTES = 1000  # of one session's values: larger ones would hold memory
_MISSING = msgspec.Raw(b'""')

Row = TypeVar("Row", bound=msgspec.Struct)


class MetadataLabels:
    """Which keys of a session's metadata are labels.

    Args:
        labels: pairs of a label's name and the key.
    """

    def __init__(self, labels: Iterable[tuple[str, str]] = ()) -> None:
        pairs = sorted(labels)
        keys = list(dict.fromkeys(key for _, key in pairs))
        self.names = tuple(name for name, _ in pairs)
        self._places = [(name, keys.index(key)) for name, key in pairs]
        self._struct = msgspec.defstruct(
            "Metadata",
            [(f"key{index}", msgspec.Raw, _MISSING) for index in range(len(keys))],
            rename={f"key{index}": key for index, key in enumerate(keys)},
            frozen=True,
            gc=False,
        )
        self._get: Any = None
        self._cache: dict[tuple[bytes, ...], MetadataPairs] = {}

    def added_to(self, row: type[Row], field: str) -> type[Row]:
        """Returns the struct of a row with the keys that are labels; the same where there are none.

        Rows of this struct, and no others, go to `of`.
        """
        if not self.names:
            return row
        self._get = attrgetter(field)
        added = (field, self._struct | None, None)
        return msgspec.defstruct(  # type: ignore[return-value]  # it is a subclass
            row.__name__, [added], bases=(row,), rename="camel", frozen=True, gc=False
        )

    def of(self, row: msgspec.Struct) -> MetadataPairs:
        """Returns the labels of a row whose values are not empty."""
        metadata = self._get(row) if self.names else None
        if metadata is None:
            return ()
        values = tuple(map(bytes, astuple(metadata)))
        pairs = self._cache.get(values)
        return self._pairs(values) if pairs is None else pairs

    def _pairs(self, values: tuple[bytes, ...]) -> MetadataPairs:
        texts = [label_value(value) for value in values]
        pairs = tuple((name, texts[place]) for name, place in self._places if texts[place])
        if sum(map(len, values)) <= MAX_CACHED_BYTES:
            if len(self._cache) >= CACHE_SIZE:
                self._cache.clear()
            self._cache[values] = pairs
        return pairs


def label_value(value: bytes) -> str:
    """Returns a JSON value as a label value: a string's own text, the JSON text of anything else.

    Its case is kept; only printable characters are, at most 100.
    """
    text = value.decode(errors="replace")
    if text.startswith('"'):
        text = json.loads(text, strict=False)
    elif text.startswith(("{", "[")):
        text = msgspec.json.format(text, indent=-1)
    return sanitize_project_id(text)
