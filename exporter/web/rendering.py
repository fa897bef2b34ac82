"""The text of metric families: rendered part by part, and only what has changed.

A part whose figures are the same keeps its text. Where only values are different, they are put into the text
of before: names, labels and comments are the library's work, which takes most of the time.
"""

import re
from collections.abc import Callable, Iterable, Sequence
from itertools import count
from typing import Any, TypeAlias

import msgspec
from prometheus_client.core import Metric
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

from exporter.metrics.parts import Part
from exporter.model import Account

Encoder: TypeAlias = Callable[[Any], bytes]
Key: TypeAlias = tuple[Account | None, str, str]  # a part's owner and name, and a content type
Shape: TypeAlias = list[
    tuple[str, list[tuple[str, dict[str, str]]]]
]  # by family: names and labels of samples

_BEGINNING = re.compile(r"^(?=# HELP )", re.MULTILINE)
_COMMENTS = re.compile(r"(?:#[^\n]*\n)*")
_VALUE = re.compile(r"(?<= )[^ \n]+$", re.MULTILINE)


class Form(msgspec.Struct, frozen=True):
    """A family's text but for its values.

    comments: the lines that begin it. samples: a format that takes values. order: which values, one by one.
    """

    comments: str
    samples: str
    order: tuple[int, ...]


class RenderedPart(msgspec.Struct, frozen=True):
    """A part's text: of each family the comments, and the samples."""

    figures: object
    shape: Shape
    forms: Sequence[Form]
    sections: Sequence[tuple[str, str]]


class TextCache:
    """Keeps each part's text for as long as its figures stay the same.

    Threads may share it: an entry is replaced as a whole, and is used for equal figures alone.
    """

    def __init__(self) -> None:
        self._rendered: dict[Key, RenderedPart] = {}

    def page(self, encode: Encoder, content_type: str, parts: Iterable[Part]) -> bytes:
        """Returns the page of the parts' families, each name once; `encode` makes this content type."""
        return self.text(encode, content_type, parts) + encode(_Given([]))

    def text(self, encode: Encoder, content_type: str, parts: Iterable[Part]) -> bytes:
        """Returns the same without the end of a page. Samples have neither timestamps nor exemplars."""
        texts: dict[str, list[str]] = {}
        for part in parts:
            for comments, samples in self._part(encode, content_type, part).sections:
                texts.setdefault(comments, [comments]).append(samples)
        return "".join([text for family in texts.values() for text in family]).encode()

    def _part(self, encode: Encoder, content_type: str, part: Part) -> RenderedPart:
        key = part.owner, part.name, content_type
        known = self._rendered.get(key)
        if known is not None and known.figures == part.figures:
            return known
        families = [*part.make()]
        shape = _shape(families)
        forms = known.forms if known is not None and known.shape == shape else _forms(encode, families)
        values = [_value(sample.value) for family in families for sample in family.samples]
        sections = [(one.comments, one.samples % tuple([values[i] for i in one.order])) for one in forms]
        rendered = self._rendered[key] = RenderedPart(part.figures, shape, forms, sections)
        return rendered


class _Given(Collector):
    def __init__(self, families: Iterable[Metric]) -> None:
        self._families = families

    def collect(self) -> Iterable[Metric]:
        return self._families


def _value(value: float) -> str:
    text: str = floatToGoString(value)  # type: ignore[no-untyped-call]  # the library's own omission
    return text


def _shape(families: Iterable[Metric]) -> Shape:
    return [(family.name, [(sample.name, sample.labels) for sample in family.samples]) for family in families]


def _forms(encode: Encoder, families: Iterable[Metric]) -> list[Form]:
    """Returns the families' forms. The text format may put samples in another order, and split a family."""
    text = encode(_Given(_numbered(families))).removesuffix(encode(_Given([]))).decode()
    return [_form(family) for family in _BEGINNING.split(text)[1:]]


def _numbered(families: Iterable[Metric]) -> Iterable[Metric]:
    """Yields the families with numbers from 0 in place of the values."""
    numbers = count()
    for family in families:
        numbered = Metric(family.name, family.documentation, family.type)
        numbered.samples = [sample._replace(value=float(next(numbers))) for sample in family.samples]
        yield numbered


def _form(text: str) -> Form:
    """Returns the form of a numbered family. A line that begins with `#` is a comment: no sample's does."""
    comments = _COMMENTS.match(text)
    assert comments is not None  # it matches the empty text
    samples = text[comments.end() :]
    order = tuple(int(float(number)) for number in _VALUE.findall(samples))
    return Form(comments[0], _VALUE.sub("%s", samples.replace("%", "%%")), order)
