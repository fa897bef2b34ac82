"""Rows of a list: decoded field by field where one is not what the API describes, and counted where rejected.

A row is used if it can be: a field that is not needed, or that holds a placeholder instead of null, is
taken as absent and counted under `field`. Other rows are rejected, and their ids are kept.
"""

from collections import Counter
from collections.abc import Container, Iterator
from datetime import UTC, datetime
from decimal import Decimal
from typing import Annotated, Any, Generic, TypeVar, get_args

import msgspec
from msgspec import Meta

EARLIEST = datetime(2000, 1, 1, tzinfo=UTC)  # an earlier time is a zero value: of year 1, or 1970
MAX_REJECTED_IDS = 10_000
UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)

Moment = Annotated[datetime, Meta(tz=True)]
# PostgreSQL holds no NUL.
Id = Annotated[str, Meta(min_length=1, max_length=100, pattern=r"^[^\x00]*$")]
Row = TypeVar("Row", bound=msgspec.Struct)


class RowError(Exception):
    """A row cannot be used.

    Args:
        reason: one of `REJECTIONS`.
        row_id: its session's id, if that can be read.
    """

    def __init__(self, reason: str, row_id: str | None = None) -> None:
        super().__init__(reason)
        self.reason, self.row_id = reason, row_id


class Rejections:
    """What was rejected at one reading: how many rows, by reason, and their ids."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.ids: set[str] = set()
        self.rows = 0

    def add(self, error: RowError) -> None:
        """Counts a row that cannot be used."""
        self.rows += 1
        self.counts[error.reason] += 1
        if error.row_id is not None:
            self.ids.add(error.row_id)

    def add_partial(self, *, is_partial: bool) -> None:
        """Counts a row that was used, if a field of it was taken as absent."""
        if is_partial:
            self.counts["field"] += 1

    def bounded_ids(self, known: Container[str]) -> frozenset[str]:
        """Returns at most `MAX_REJECTED_IDS` of the ids, those known first."""
        if len(self.ids) <= MAX_REJECTED_IDS:
            return frozenset(self.ids)
        return frozenset(sorted(self.ids, key=lambda one: (one not in known, one))[:MAX_REJECTED_IDS])


class RowDecoder(Generic[Row]):
    """Decodes JSON objects to a struct.

    Args:
        struct: the row. Its times are of type `Moment`; its numbers are figures, which cannot be negative.
        needed: its optional fields that make the row malformed where they hold a value of another type.
    """

    def __init__(self, struct: type[Row], needed: Container[str]) -> None:
        fields = msgspec.structs.fields(struct)
        raw = msgspec.defstruct(
            "RawRow",
            [(field.name, msgspec.Raw | msgspec.UnsetType, msgspec.UNSET) for field in fields],
            rename={field.name: field.encode_name for field in fields},
        )
        self._struct, self._needed = struct, needed
        self._strict, self._raw = msgspec.json.Decoder(struct), msgspec.json.Decoder(raw)
        self._fields = [(field.name, field.required, list(_decoders(field.type))) for field in fields]
        self._required = {field.name for field in fields if field.required}

    def decode(self, raw: bytes | msgspec.Raw) -> tuple[Row, bool]:
        """Returns the row, and whether a field of it was taken as absent.

        Raises:
            RowError: if it is malformed.
        """
        try:
            row, is_partial = self._strict.decode(raw), False
        except UNREADABLE:
            row, is_partial = self._by_field(raw)
        row, has_more = self.tidy(row)
        return row, is_partial or has_more

    def tidy(self, row: Row) -> tuple[Row, bool]:
        """Takes times before 2000 and negative figures as absent. Returns the row, and whether it had any.

        Raises:
            RowError: if one of them is required.
        """
        odd = [name for name in row.__struct_fields__ if _is_placeholder(getattr(row, name))]
        if not self._required.isdisjoint(odd):
            raise RowError("malformed", getattr(row, "id", None))
        return (msgspec.structs.replace(row, **dict.fromkeys(odd)) if odd else row), bool(odd)

    def _by_field(self, raw: bytes | msgspec.Raw) -> tuple[Row, bool]:
        values: dict[str, Any] = {}
        is_partial = False
        try:
            texts = self._raw.decode(raw)
        except UNREADABLE as error:
            raise RowError("malformed") from error
        for name, required, decoders in self._fields:
            text = getattr(texts, name)
            if text is msgspec.UNSET and not required:
                continue
            try:
                values[name] = _first(decoders, b"" if text is msgspec.UNSET else text)
            except UNREADABLE as error:
                if required or (name in self._needed and bytes(text) != b'""'):
                    raise RowError("malformed", values.get("id")) from error
                is_partial = True
        return self._struct(**values), is_partial


_FLOAT, _DATETIME = msgspec.json.Decoder(float), msgspec.json.Decoder(datetime)


def _decoders(kind: Any) -> Iterator[Any]:
    """Yields the decoder of a type, and those of the forms in which the same values may be written."""
    yield msgspec.json.Decoder(kind).decode
    if int in get_args(kind):
        yield _whole_float
    if kind == Moment or Moment in get_args(kind):
        yield _without_zone


def _whole_float(text: bytes) -> int:
    figure = _FLOAT.decode(text)
    if not figure.is_integer():
        raise msgspec.ValidationError("not a whole number")
    return int(figure)


def _without_zone(text: bytes) -> datetime:
    """Decodes a time that names no zone: it is UTC."""
    return _DATETIME.decode(text).replace(tzinfo=UTC)


def _first(decoders: list[Any], text: bytes | msgspec.Raw) -> object:
    """Returns the text as the first decoder that accepts it does; raises the last one's error."""
    for decode in decoders[:-1]:
        try:
            return decode(text)
        except UNREADABLE:
            continue
    return decoders[-1](text)


def _is_placeholder(value: object) -> bool:
    """Returns whether a value stands for a missing one: a time before 2000, or a negative figure."""
    if isinstance(value, datetime):
        return value < EARLIEST
    if isinstance(value, Decimal):
        return value.is_finite() and value < 0
    return isinstance(value, int) and value < 0
