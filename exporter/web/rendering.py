"""The text of metric families: rendered part by part, and only what has changed.

A part whose figures are the same keeps its text. Where only values are different, they are put into the text
of before: names, labels and comments are the library's work, which takes most of the time.
"""

import re
from collections.abc import Callable, Iterable, Sequence
from itertools import chain, count
from typing import Any, TypeAlias

import msgspec
from prometheus_client.core import Metric
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

from exporter.metrics.parts import Part
from exporter.model import Account

Encoder: TypeAlias = Callable[[Any], bytes]
Key: TypeAlias = tuple[Account | None, str, str]  # a part's owner and name, and a content type
Shape: TypeAlias = tuple[str, ...]  # names of families, samples and labels, and labels' values

_BEGINNING = re.compile(r"^(?=# HELP )", re.MULTILINE)
_COMMENTS = re.compile(r"(?:#[^\n]*\n)*")


class Section(msgspec.Struct, frozen=True):
    """A family's text.

    comments: the lines that begin it. samples: a line for each. order: the place of each among the samples
    from which it was rendered: the text format may put them in another order, and split a family.
    """

    comments: bytes
    samples: bytes
    order: tuple[int, ...]


class RenderedPart(msgspec.Struct, frozen=True):
    """A part's text."""

    figures: object
    shape: Shape | None
    sections: Sequence[Section]


class TextCache:
    """Keeps each part's text for as long as its figures stay the same.

    Threads may share it: an entry is replaced as a whole, and is used for equal figures alone.
    """

    def __init__(self) -> None:
        self._rendered: dict[Key, RenderedPart] = {}

    def page(self, encode: Encoder, content_type: str, parts: Iterable[Part]) -> bytes:
        """Returns the page of the parts' families, each name once; `encode` makes this content type.

        Their samples have no timestamps.
        """
        texts: dict[bytes, list[bytes]] = {}
        for part in parts:
            for section in self._part(encode, content_type, part).sections:
                texts.setdefault(section.comments, [section.comments]).append(section.samples)
        # Joined once: of many accounts, each further copy would take tens of megabytes.
        return b"".join(chain(*texts.values(), [encode(_Given([]))]))

    def _part(self, encode: Encoder, content_type: str, part: Part) -> RenderedPart:
        key = part.owner, part.name, content_type
        known = self._rendered.get(key)
        if known is not None and known.figures == part.figures:
            return known
        families = [*part.make()]
        shape = _shape(families)
        if known is None or shape is None or known.shape != shape:
            sections = _sections(encode, families, as_numbers=shape is not None)
        else:
            sections = known.sections
        if shape is not None:
            values = [_value(sample.value) for family in families for sample in family.samples]
            sections = [_with_values(section, values) for section in sections]
        rendered = self._rendered[key] = RenderedPart(part.figures, shape, sections)
        return rendered


class _Given(Collector):
    def __init__(self, families: Iterable[Metric]) -> None:
        self._families = families

    def collect(self) -> Iterable[Metric]:
        return self._families


def _value(value: float) -> str:
    text: str = floatToGoString(value)  # type: ignore[no-untyped-call]  # the library's own omission
    return text


def _shape(families: Iterable[Metric]) -> Shape | None:
    """Returns what a text is made of, but for values. None if exemplars stand behind them."""
    shape: list[str] = []
    for family in families:
        shape.append(family.name)
        for number, sample in enumerate(family.samples):
            if sample.exemplar is not None:
                return None
            shape.append(sample.name)
            shape += sample.labels.values() if number else chain(*sample.labels.items())
    return tuple(shape)


def _sections(encode: Encoder, families: Iterable[Metric], *, as_numbers: bool) -> Sequence[Section]:
    """Returns the families' text, which may have numbers from 0 in place of the values."""
    families = _numbered(families) if as_numbers else families
    text = encode(_Given(families)).removesuffix(encode(_Given([]))).decode()
    return [_section(family, as_numbers=as_numbers) for family in _BEGINNING.split(text)[1:]]


def _numbered(families: Iterable[Metric]) -> Iterable[Metric]:
    numbers = count()
    for family in families:
        numbered = Metric(family.name, family.documentation, family.type)
        numbered.samples = [sample._replace(value=float(next(numbers))) for sample in family.samples]
        yield numbered


def _section(text: str, *, as_numbers: bool) -> Section:
    """Returns a family's section. A line that begins with `#` is a comment: no sample's does."""
    comments = _COMMENTS.match(text)
    assert comments is not None  # it matches the empty text
    samples = text[comments.end() :]
    lines = samples.split("\n")[:-1] if as_numbers else []
    order = tuple(int(float(line.rpartition(" ")[2])) for line in lines)
    return Section(comments[0].encode(), samples.encode(), order)


def _with_values(section: Section, values: Sequence[str]) -> Section:
    """Returns the section with other values: of each line, what is behind the last space."""
    lines = zip(section.samples.decode().split("\n"), section.order, strict=False)  # the last one is empty
    samples = "".join([f"{line[: line.rindex(' ')]} {values[place]}\n" for line, place in lines])
    return Section(section.comments, samples.encode(), section.order)
