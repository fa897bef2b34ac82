"""What a panel asks, as Grafana would ask it: variables filled in, windows and steps for its width."""

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta

import msgspec

from grafana.preview.layout import Box, Dashboard, Panel, Target
from grafana.preview.monitor import Monitor, Points, Series

DATASOURCE_INTERVAL = 15  # seconds; Grafana's own, where a query names none
# Grafana's steps, in seconds, and up to which length each is taken for one that is asked for.
_STEPS = (
    *((10, 12.5), (15, 17.5), (20, 25), (30, 45), (60, 90), (120, 210), (300, 450), (600, 750)),
    *((900, 1050), (1200, 1500), (1800, 2700), (3600, 5400), (7200, 9000), (10_800, 16_200)),
)
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
SINCE = {"now/d": "Today so far", "now/M": "This month so far"}


class Span(msgspec.Struct, frozen=True):
    """A time in seconds since 1970."""

    begin: float
    end: float

    @property
    def seconds(self) -> int:
        """How long it is."""
        return round(self.end - self.begin)

    def x(self, box: Box, at: float) -> float:
        """Where a time is in a box that shows it all."""
        return box.x + (at - self.begin) / self.seconds * box.w


class Line(msgspec.Struct, frozen=True):
    """A series and its name. step: seconds between two points, 0 for a moment."""

    name: str
    labels: Mapping[str, str]
    points: Points
    step: float


class Mark(msgspec.Struct, frozen=True):
    """A time in which alerts fired."""

    begin: float
    end: float


class Content(msgspec.Struct, frozen=True):
    """All that a panel shows: its series, over a time, and when alerts fired in it."""

    panel: Panel
    lines: Sequence[Line]
    span: Span
    marks: Sequence[Mark]


class Asker(msgspec.Struct, frozen=True):
    """Asks a dashboard's queries, at a time that is now."""

    monitor: Monitor
    dashboard: Dashboard
    now: float

    @property
    def span(self) -> Span:
        """The dashboard's range."""
        return Span(since(self.dashboard.time.since, self.now), self.now)

    def lines(self, panel: Panel, width: float) -> list[Line]:
        """A panel's series; `width` in pixels decides on the step."""
        begin = since(panel.time_from or self.dashboard.time.since, self.now)
        return [
            line for target in panel.targets for line in self._target(target, Span(begin, self.now), width)
        ]

    def marks(self) -> list[Mark]:
        """When alerts fired, one after the other, without gaps of a step or less."""
        found: list[Mark] = []
        for annotation in self.dashboard.annotations.list:
            step = seconds(annotation.step)
            for series in self._course(annotation.expr, step, Span(self.span.begin, self.now), {}):
                found.extend(_runs(series.points, step))
        return sorted(found, key=lambda mark: mark.begin)

    def _target(self, target: Target, span: Span, width: float) -> Iterator[Line]:
        least = seconds(target.interval)
        step = max(step_of(span.seconds / width), least)
        windows = {
            "__rate_interval": f"{max(step + least, 4 * least):g}s",
            "__range": f"{span.seconds}s",
            "__range_s": str(span.seconds),
        }
        if target.instant:
            found, step = self.monitor.moment(self._filled(target.expr, windows), span.end), 0
        else:
            found = self._course(target.expr, step, span, windows)
        for series in found:
            yield Line(named(target.legend_format, series.labels), series.labels, series.points, step)

    def _course(self, expression: str, step: float, span: Span, windows: Mapping[str, str]) -> list[Series]:
        begin, end = (at // step * step for at in (span.begin, span.end))
        return self.monitor.course(self._filled(expression, windows), begin, end, step)

    def _filled(self, expression: str, windows: Mapping[str, str]) -> str:
        """With the variables as they stand at first: all chosen. KeyError for an unknown one."""
        values = {one.name: one.all_value for one in self.dashboard.templating.list} | dict(windows)
        return re.sub(r"\$(\w+)", lambda match: values[match[1]], expression)


def since(text: str, now: float) -> float:
    """The time that `now-6h`, `now/d` or `now/M` means, in UTC. Raises ValueError for another."""
    if match := re.fullmatch(r"now-(\d+[smhd])", text):
        return now - seconds(match[1])
    day = datetime.fromtimestamp(now, UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    begins = {"now/d": day, "now/M": day - timedelta(days=day.day - 1)}
    if text not in begins:
        raise ValueError(f"{text} is no time that is drawn")
    return begins[text].timestamp()


def seconds(text: str) -> int:
    """The length of `1m` and the like."""
    return int(text[:-1]) * _UNITS[text[-1]] if text else DATASOURCE_INTERVAL


def step_of(length: float) -> int:
    """Grafana's step for a length in seconds."""
    return next(step for step, limit in _STEPS if length < limit)


def named(legend: str, labels: Mapping[str, str]) -> str:
    """A legend with its `{{label}}` filled in; a label that is not there leaves nothing."""
    return re.sub(r"{{\s*(\w+)\s*}}", lambda match: labels.get(match[1], ""), legend)


def _runs(points: Points, step: float) -> Iterator[Mark]:
    begin = last = None
    for at, _ in points:
        if last is not None and begin is not None and at - last > step:
            yield Mark(begin, last)
            begin = at
        begin, last = at if begin is None else begin, at
    if begin is not None and last is not None:
        yield Mark(begin, last)
