"""A dashboard as a picture: its frame, its rows and panels on the grid, and the words at its foot."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime

from grafana.preview import figures, plots
from grafana.preview.canvas import BORDER, FAINT, FIELD, PANEL, STRONG, Canvas
from grafana.preview.layout import Box, Dashboard, Panel, box, height
from grafana.preview.questions import SINCE, Asker, Content, Span, since

WIDTH, MARGIN = 1280, 16
HEAD, FOOT = 84, 40
TITLE, PADDING = 34, 10  # of a panel
FOOTNOTE = (
    "Drawn by make preview from the dashboard's JSON, with data of a real Prometheus over simulated fleets. "
    "Not a screenshot of Grafana."
)

DRAWERS: Mapping[str, Callable[[Canvas, Box, Content], None]] = {
    "stat": figures.number,
    "bargauge": figures.bars,
    "table": figures.table,
    "timeseries": plots.graph,
    "state-timeline": plots.states,
}


def draw(asker: Asker) -> Canvas:
    """A dashboard as it is now, all of its variables at All. KeyError for a panel that is not known here."""
    dashboard = asker.dashboard
    canvas = Canvas(WIDTH, HEAD + height(dashboard) + FOOT)
    _head(canvas, dashboard, asker.now)
    frame = Box(MARGIN, HEAD, WIDTH - 2 * MARGIN, height(dashboard))
    marks = asker.marks()
    for panel in dashboard.panels:
        place = box(panel.grid_pos, frame)
        if panel.type == "row":
            canvas.text((place.x + 4, place.y + place.h / 2), f"⌄  {panel.title}", 16)
            continue
        inner = _panel(canvas, place, panel)
        content = Content(panel, asker.lines(panel, place.w), asker.span, marks)
        if content.lines:
            DRAWERS[panel.type](canvas, inner, content)
        else:
            middle = inner.x + inner.w / 2, inner.y + inner.h / 2
            canvas.text(middle, panel.defaults.no_value, 14, FAINT, align="center", room=inner.w)
    canvas.text((WIDTH / 2, HEAD + frame.h + FOOT / 2), FOOTNOTE, 12, FAINT, align="center")
    return canvas


def _head(canvas: Canvas, dashboard: Dashboard, now: float) -> None:
    """Title, the time shown, and the variables."""
    canvas.text((MARGIN, 26), dashboard.title, 18)
    span = Span(since(dashboard.time.since, now), now)
    begin, end = (datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M") for at in (span.begin, span.end))
    hours = f"Last {span.seconds // 3600} hours ({begin} to {end} UTC)"
    canvas.text((WIDTH - MARGIN, 26), hours, 13, FAINT, align="right")
    x: float = MARGIN
    for one in dashboard.templating.list:
        if one.hide == 0:
            x = _variable(canvas, x, one.label, "prometheus" if one.name == "datasource" else "All")


def _variable(canvas: Canvas, x: float, label: str, value: str) -> float:
    """A variable's field; returns where the next one begins."""
    wide = canvas.width(label) + canvas.width(value) + 40
    canvas.fill(Box(x, 46, wide, 28), FIELD, edge=BORDER, corners=2)
    end = x + 10 + canvas.text((x + 10, 60), label, 12, FAINT)
    canvas.text((end + 12, 60), value, 12)
    return x + wide + GAP


GAP = 8


def _panel(canvas: Canvas, place: Box, panel: Panel) -> Box:
    """A panel's frame and title, and the time it covers if that is its own; returns the space in it."""
    canvas.fill(place, PANEL, edge=BORDER, corners=3)
    own = SINCE.get(panel.time_from or "", "")
    room = place.w - 2 * PADDING
    wide = canvas.text((place.x + PADDING, place.y + 18), panel.title, 13.5, STRONG, room=room)
    if own and wide + 8 + canvas.width(own, 11) <= room:
        canvas.text((place.x + place.w - PADDING, place.y + 18), own, 11, FAINT, align="right")
    return place.within(PADDING, TITLE, PADDING, PADDING)
