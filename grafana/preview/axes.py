"""What panels over time have in common: scales with their ticks, the axis of time, legends, alerts."""

import math
import re
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import TypeAlias

import msgspec

from grafana.preview.canvas import COLOUR, FAINT, GRID, Canvas
from grafana.preview.layout import Box, Defaults
from grafana.preview.questions import Content, Span
from grafana.preview.units import write

SMALL, LEGEND, AXIS = 11, 22, 22  # pixels: text, a row of the legend, the axis of time
_APART = 45, 70  # pixels between two values, and two times, at least
_HOURS = (0.25, 0.5, 1, 2, 3, 6, 12)
_ROUND = (1, 2, 2.5, 5, 10)
_ABOVE = 1.02  # so that the highest value does not lie on the edge
_ALL_ZERO = 100  # where Grafana's axis ends when there is nothing but zeros

Ticks: TypeAlias = Sequence[tuple[float, str]]


class Scale(msgspec.Struct, frozen=True):
    """Where times and values are drawn; values from 0 to the top."""

    box: Box
    span: Span
    top: float

    def x(self, at: float) -> float:
        """Of a time."""
        return self.span.x(self.box, at)

    def y(self, value: float) -> float:
        """Of a value."""
        return self.box.y + self.box.h * (1 - value / self.top)

    def across(self, canvas: Canvas, value: float, colour: str, *, dashed: bool = False) -> None:
        """Draw a line at a value."""
        y = self.y(value)
        canvas.line([(self.box.x, y), (self.box.x + self.box.w, y)], colour, dashed=dashed)


def scaled(canvas: Canvas, box: Box, span: Span, highest: float, defaults: Defaults) -> Scale:
    """Draw the axes: a grid, values at the left, times below."""
    marked = ticks(highest, box.h, defaults)
    left = max(canvas.width(text, SMALL) for _, text in marked) + 10
    scale = Scale(box.within(left=left, top=6, right=6, bottom=AXIS), span, marked[-1][0])
    for value, text in marked:
        scale.across(canvas, value, GRID)
        canvas.text((scale.box.x - 8, scale.y(value)), text, SMALL, FAINT, align="right")
    times(canvas, scale.box, span)
    return scale


def ticks(highest: float, pixels: float, defaults: Defaults) -> Ticks:
    """Round values from 0 to the highest or just above, and their texts."""
    highest = max(highest * _ABOVE, defaults.custom.axis_soft_max) or _ALL_ZERO
    base, steps = (1024, [2**n for n in range(11)]) if defaults.unit == "bytes" else (10, _ROUND)
    least = highest / max(2, pixels / _APART[0])
    power = float(base) ** math.floor(math.log(least, base) + 1e-9)
    step = next(power * one for one in steps if power * one >= least * 0.999)
    last = math.ceil(round(highest / step, 6))
    return [(number * step, _tick(number * step, defaults)) for number in range(last + 1)]


def _tick(value: float, defaults: Defaults) -> str:
    text = write(round(value, 9), defaults.unit, defaults.decimals)
    if defaults.decimals is not None:
        return text
    return re.sub(r"\.(?=\D|$)", "", re.sub(r"(\.\d*?)0+(?!\d)", r"\1", text))


def times(canvas: Canvas, box: Box, span: Span) -> None:
    """Draw the axis of time below a box, with lines through it."""
    step = next(3600 * hours for hours in _HOURS if 3600 * hours >= span.seconds / (box.w / _APART[1]))
    for number in range(math.ceil(span.begin / step), math.floor(span.end / step) + 1):
        x = span.x(box, number * step)
        canvas.line([(x, box.y), (x, box.y + box.h)], GRID)
        text = datetime.fromtimestamp(number * step, UTC).strftime("%H:%M")
        # The last one would stand out of the panel.
        middle = min(x, box.x + box.w + 6 - canvas.width(text, SMALL) / 2)
        canvas.text((middle, box.y + box.h + 12), text, SMALL, FAINT, align="center")


def alerts(canvas: Canvas, box: Box, content: Content) -> None:
    """Draw red bands where alerts fired, with a bar below."""
    for mark in content.marks:
        left, right = (content.span.x(box, at) for at in (mark.begin, mark.end))
        canvas.fill(Box(left, box.y, max(right - left, 1), box.h), COLOUR["red"], alpha=0.1)
        for x in (left, right):
            canvas.line([(x, box.y), (x, box.y + box.h)], COLOUR["red"], dashed=True)
        canvas.fill(Box(left, box.y + box.h, max(right - left, 3), 4), COLOUR["red"])


def legend(canvas: Canvas, box: Box, names: Sequence[str], colours: Sequence[str]) -> Box:
    """Draw names with their colours along the bottom, in as many rows as they need; returns what is left."""
    places = list(_places(canvas, box, names))
    rows = places[-1][0] + 1
    for name, colour, (row, x) in zip(names, colours, places, strict=True):
        y = box.y + box.h - (rows - row) * LEGEND + 11
        canvas.fill(Box(x, y - 2, 14, 4), colour, corners=2)
        canvas.text((x + 20, y), name, room=box.w - 20)
    return box.within(bottom=rows * LEGEND)


def _places(canvas: Canvas, box: Box, names: Sequence[str]) -> Iterator[tuple[int, float]]:
    """The row of each name, and where it begins."""
    row, x = 0, box.x
    for name in names:
        wide = 20 + canvas.width(name)
        if x > box.x and x + wide > box.x + box.w:
            row, x = row + 1, box.x
        yield row, x
        x += wide + 16
