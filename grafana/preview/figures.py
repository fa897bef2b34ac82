"""Panels of a moment: a large number, bars, a table."""

from collections.abc import Mapping, Sequence
from typing import Any

from grafana.preview.canvas import BORDER, COLOUR, FIELD, PALETTE, STRONG, TEXT, Canvas
from grafana.preview.layout import Box, Defaults, Panel
from grafana.preview.questions import Content
from grafana.preview.units import write

_ROW = 36  # pixels of a table's


def number(canvas: Canvas, box: Box, content: Content) -> None:
    """The last value, as large as it fits, in the colour of its threshold."""
    panel, lines = content.panel, content.lines
    ((_, value),) = lines[0].points
    text = write(value, panel.defaults.unit, panel.defaults.decimals)
    size = min(box.h * 0.62, 52 * box.w / max(canvas.width(text, 52), 1) * 0.9)
    colour = COLOUR[_threshold(panel.defaults, value)]
    canvas.text((box.x + box.w / 2, box.y + box.h / 2), text, size, colour, align="center")


def _threshold(defaults: Defaults, value: float) -> str:
    """The colour of the last step that the value has reached."""
    steps = defaults.thresholds.steps
    return [step.color for step in steps if step.value is None or value >= step.value][-1]


def bars(canvas: Canvas, box: Box, content: Content) -> None:
    """A bar for each series, up to the largest value."""
    panel, lines = content.panel, content.lines
    values = [line.points[-1][1] for line in lines]
    texts = [write(value, panel.defaults.unit, panel.defaults.decimals) for value in values]
    left = min(max(canvas.width(line.name, 13) for line in lines), box.w * 0.4)
    size = min(28, box.h / len(lines) * 0.5)
    right = max(canvas.width(text, size) for text in texts) + 12
    high = (box.h - GAP_BETWEEN * (len(lines) - 1)) / len(lines)
    for place, (line, value, text) in enumerate(zip(lines, values, texts, strict=True)):
        bar = Box(box.x + left + 10, box.y + place * (high + GAP_BETWEEN), box.w - left - right - 10, high)
        colour, middle = PALETTE[place % len(PALETTE)], bar.y + high / 2
        canvas.text((box.x + left, middle), line.name, 13, room=left, align="right")
        canvas.fill(bar, FIELD)
        filled = Box(bar.x, bar.y, bar.w * value / (max(values) or 1), bar.h)
        canvas.fill(filled, colour, alpha=0.35)
        canvas.fill(Box(filled.x + filled.w - 2, bar.y, 2, bar.h), colour)
        canvas.text((box.x + box.w, middle), text, size, colour, align="right")


GAP_BETWEEN = 10


def table(canvas: Canvas, box: Box, content: Content) -> None:
    """Labels and value of each series, the columns as the JSON arranges them, as many rows as fit."""
    panel, lines = content.panel, content.lines
    rows = _sorted(panel, [dict(line.labels) | {"Value": line.points[-1][1]} for line in lines])
    names, titles = _columns(panel, rows)
    wide, y = box.w / len(names), box.y
    for place, title in enumerate(titles):
        x, align = (box.x + box.w - 8, "right") if names[place] == "Value" else (box.x + place * wide, "left")
        canvas.text((x, y + _ROW / 2), title, 12, STRONG, align=align)
    fitting = int(box.h // _ROW) - 1
    for row in rows[:fitting]:
        y += _ROW
        canvas.line([(box.x, y), (box.x + box.w, y)], BORDER)
        for place, name in enumerate(names):
            _cell(canvas, Box(box.x + place * wide, y, wide, _ROW), panel, name, row.get(name, ""))


def _cell(canvas: Canvas, box: Box, panel: Panel, name: str, value: Any) -> None:
    if name == "Value":
        text = write(value, panel.defaults.unit, panel.defaults.decimals)
        canvas.text((box.x + box.w - 8, box.y + box.h / 2), text, 13, TEXT, align="right")
    else:
        canvas.text((box.x, box.y + box.h / 2), value, 13, TEXT, room=box.w - 8)


def _sorted(panel: Panel, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    renamed = {shown: name for name, shown in _organized(panel, "renameByName").items()}
    for one in panel.options.sort_by:
        column = renamed.get(one.display_name, one.display_name)
        rows = sorted(rows, key=lambda row: row[column], reverse=one.desc)
    return rows


def _columns(panel: Panel, rows: Sequence[Mapping[str, Any]]) -> tuple[list[str], list[str]]:
    """The columns' names in order, and their titles."""
    hidden, order = _organized(panel, "excludeByName"), _organized(panel, "indexByName")
    every = {name for row in rows for name in row}
    names = sorted((name for name in every if not hidden.get(name)), key=lambda name: order.get(name, 99))
    renamed = _organized(panel, "renameByName")
    return names, [renamed.get(name, name) for name in names]


def _organized(panel: Panel, what: str) -> Mapping[str, Any]:
    found = [one.options.get(what, {}) for one in panel.transformations if one.id == "organize"]
    return found[0] if found else {}
