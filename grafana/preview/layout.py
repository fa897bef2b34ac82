"""A dashboard's JSON, as much of it as is drawn, in structs; and Grafana's grid."""

from collections.abc import Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

import msgspec

COLUMNS, ROW, GAP = 24, 30, 8  # pixels, as Grafana has them


class Part(msgspec.Struct, frozen=True, rename="camel"):
    """What stands in the JSON; the other fields are Grafana's own business."""


class Cell(Part, frozen=True):
    """Where a panel stands on the grid: columns, and rows of 30 pixels."""

    x: int
    y: int
    w: int
    h: int


class Step(Part, frozen=True):
    """From which value on a colour holds; the first of a panel's holds below all."""

    color: str
    value: float | None = None


class Thresholds(Part, frozen=True):
    """Steps, in order of their values."""

    steps: Sequence[Step]


class Mode(Part, frozen=True):
    """A mode by its name."""

    mode: str


class Custom(Part, frozen=True):
    """How a graph looks. fill_opacity in percent; axis_soft_max: up to where its axis goes at least."""

    axis_soft_max: float = 0
    fill_opacity: int = 0
    line_width: int = 1
    stacking: Mode = Mode("none")
    thresholds_style: Mode = Mode("off")


class Mapped(Part, frozen=True):
    """What stands for a value."""

    text: str
    color: str


class ValueMap(Part, frozen=True):
    """Values, as text, and what stands for them."""

    options: Mapping[str, Mapped]


class Defaults(Part, frozen=True):
    """How a panel's values are written and coloured."""

    unit: str
    no_value: str
    color: Mode = Mode("thresholds")
    decimals: int | None = None
    min: float | None = None
    max: float | None = None
    thresholds: Thresholds = Thresholds((Step("green"),))
    custom: Custom = Custom()
    mappings: Sequence[ValueMap] = ()


class FieldConfig(Part, frozen=True):
    """The defaults; the dashboards have no overrides."""

    defaults: Defaults


class Target(Part, frozen=True):
    """A query."""

    expr: str
    instant: bool
    interval: str
    legend_format: str = ""


class Transformation(Part, frozen=True):
    """What is done to a table's columns."""

    id: str
    options: Mapping[str, Mapping[str, Any]]


class Sorting(Part, frozen=True, rename="camel"):
    """By which column a table is sorted."""

    display_name: str
    desc: bool = False


class Options(Part, frozen=True):
    """What only tables have."""

    sort_by: Sequence[Sorting] = ()


class Panel(Part, frozen=True):
    """A panel, or the heading of a row, which has a title and a cell only."""

    title: str
    type: str
    grid_pos: Cell
    field_config: FieldConfig | None = None
    targets: Sequence[Target] = ()
    transformations: Sequence[Transformation] = ()
    options: Options = Options()
    time_from: str | None = None

    @property
    def defaults(self) -> Defaults:
        """Of a panel that is no heading."""
        assert self.field_config is not None
        return self.field_config.defaults


class Variable(Part, frozen=True):
    """A variable; hide is 0 where it is shown."""

    name: str
    label: str
    hide: int = 0
    all_value: str = ""


class Annotation(Part, frozen=True):
    """Marks, from a query."""

    expr: str
    step: str


class Listed(Part, frozen=True):
    """The JSON's way to have a list of annotations."""

    list: Sequence[Annotation]


class Templating(Part, frozen=True):
    """The same of variables."""

    list: Sequence[Variable]


class Since(Part, frozen=True, rename={"since": "from"}):
    """The time shown at first: up to now, from so long ago."""

    since: str


class Dashboard(Part, frozen=True):
    """A dashboard."""

    uid: str
    title: str
    time: Since
    panels: Sequence[Panel]
    templating: Templating
    annotations: Listed


class Box(msgspec.Struct, frozen=True):
    """A rectangle in pixels, from the top left."""

    x: float
    y: float
    w: float
    h: float

    def within(self, left: float = 0, top: float = 0, right: float = 0, bottom: float = 0) -> "Box":
        """What is left of it inside margins."""
        return Box(self.x + left, self.y + top, self.w - left - right, self.h - top - bottom)


def load(path: Path) -> Dashboard:
    """Read a dashboard. Raises msgspec.ValidationError, naming what is not as expected."""
    return msgspec.json.decode(path.read_bytes(), type=Dashboard)


def digest(path: Path) -> str:
    """What a picture keeps of the JSON that it was drawn from."""
    return sha256(path.read_bytes()).hexdigest()


def box(cell: Cell, frame: Box) -> Box:
    """Where a cell of the grid is within a frame: its columns share the width."""
    column = (frame.w + GAP) / COLUMNS
    return Box(
        frame.x + cell.x * column,
        frame.y + cell.y * (ROW + GAP),
        cell.w * column - GAP,
        cell.h * (ROW + GAP) - GAP,
    )


def height(dashboard: Dashboard) -> int:
    """Pixels that the grid needs."""
    return max(panel.grid_pos.y + panel.grid_pos.h for panel in dashboard.panels) * (ROW + GAP) - GAP
