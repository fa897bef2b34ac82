"""Panels over time: graphs of lines or stacked areas, and bands of states."""

from collections.abc import Iterator, Sequence
from typing import TypeAlias

from grafana.preview.axes import AXIS, Scale, alerts, legend, scaled, times
from grafana.preview.canvas import COLOUR, PALETTE, Canvas
from grafana.preview.layout import Box, Custom
from grafana.preview.questions import Content, Line, Span

Area: TypeAlias = Sequence[tuple[float, float, float]]  # times, tops and bottoms

STACKING, LIMITS = {"none": False, "normal": True}, {"off": False, "dashed": True}
_GAP = 1.5  # steps: what is further apart is not connected


def graph(canvas: Canvas, box: Box, content: Content) -> None:
    """Draw lines, or areas upon each other. KeyError for looks that are not known here."""
    defaults, lines = content.panel.defaults, content.lines
    looks, colours = defaults.custom, [PALETTE[place % len(PALETTE)] for place in range(len(lines))]
    box = legend(canvas, box, [line.name for line in lines], colours)
    areas = list(_areas(lines, stacked=STACKING[looks.stacking.mode]))
    highest = max(top for area in areas for _, top, _ in area)
    scale = scaled(canvas, box, content.span, highest, defaults)
    alerts(canvas, scale.box, content)
    for area, colour, line in reversed(list(zip(areas, colours, lines, strict=True))):
        for part in unbroken(area, line.step):
            _draw(canvas, scale, part, colour, looks)
    for limit in defaults.thresholds.steps if LIMITS[looks.thresholds_style.mode] else ():
        if limit.value is not None and limit.value <= scale.top:
            scale.across(canvas, limit.value, COLOUR[limit.color], dashed=True)


def _areas(lines: Sequence[Line], *, stacked: bool) -> Iterator[Area]:
    below: dict[float, float] = {}
    for line in lines:
        area = [(at, value + below.get(at, 0), below.get(at, 0)) for at, value in line.points]
        if stacked:
            below |= {at: top for at, top, _ in area}
        yield area


def _draw(canvas: Canvas, scale: Scale, area: Area, colour: str, looks: Custom) -> None:
    points = [(scale.x(at), scale.y(top)) for at, top, _ in area]
    canvas.area(points, [scale.y(bottom) for *_, bottom in area], colour, looks.fill_opacity / 100)
    canvas.line(points, colour, looks.line_width)


def unbroken(area: Area, step: float) -> Iterator[Area]:
    """The stretches between gaps."""
    begun = 0
    for place in range(1, len(area) + 1):
        if place == len(area) or area[place][0] - area[place - 1][0] > _GAP * step:
            yield area[begun:place]
            begun = place


def states(canvas: Canvas, box: Box, content: Content) -> None:
    """Draw a band for each series, in the colours of its values. KeyError for a value without one."""
    lines, span = content.lines, content.span
    named = {
        value: one for mapping in content.panel.defaults.mappings for value, one in mapping.options.items()
    }
    shown = [named[value] for value in sorted({_key(value) for line in lines for _, value in line.points})]
    box = legend(canvas, box, [one.text for one in shown], [COLOUR[one.color] for one in shown])
    inner = box.within(left=max(canvas.width(line.name) for line in lines) + 10, right=6, bottom=AXIS)
    times(canvas, inner, span)
    for place, line in enumerate(lines):
        high = inner.h / len(lines)
        band = Box(inner.x, inner.y + place * high, inner.w, high)
        canvas.text((band.x - 8, band.y + high / 2), line.name, align="right")
        for begin, end, value in lasting(line, span):
            left, right = span.x(band, begin), span.x(band, end)
            part = Box(left, band.y + high * 0.06, right - left, high * 0.88)
            canvas.fill(part, COLOUR[named[_key(value)].color], alpha=0.75)
    alerts(canvas, inner, content)


def _key(value: float) -> str:
    """A value as the JSON's mappings have it."""
    return f"{value:g}"


def lasting(line: Line, span: Span) -> Iterator[tuple[float, float, float]]:
    """Each state: begin, end and value. It lasts until the next one, a gap, or the end of all."""
    begin, value = line.points[0]
    last = begin
    for at, now in line.points[1:]:
        gap = at - last > _GAP * line.step
        if now != value or gap:
            yield begin, last + line.step if gap else at, value
            begin, value = at, now
        last = at
    yield begin, min(last + line.step, span.end), value
