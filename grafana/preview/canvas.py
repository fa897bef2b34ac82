"""What is drawn with: rectangles, lines and text in pixels from the top left, in Grafana's dark theme."""

from collections.abc import Sequence
from io import BytesIO
from itertools import count
from pathlib import Path

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.patches import FancyBboxPatch, Patch, Rectangle
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from grafana.preview.layout import Box

SCALE = 1.25  # pixels of the picture for each of Grafana's
INCH = 100  # of Grafana's pixels
COLOURS = 256  # of the picture

BACKGROUND, PANEL, BORDER, FIELD = "#111217", "#181b1f", "#25272c", "#22252b"
STRONG, TEXT, FAINT, GRID = "#e6e6f0", "#ccccdc", "#9a9ba6", "#2b2d33"
COLOUR = {
    "green": "#73bf69",
    "yellow": "#fade2a",
    "red": "#f2495c",
    "blue": "#5794f2",
    "orange": "#ff9830",
    "purple": "#b877d9",
    "transparent": "none",
}
# Grafana's classic palette, in its order.
PALETTE = (
    *("#73bf69", "#f2cc0c", "#8ab8ff", "#ff780a", "#f2495c", "#5794f2", "#b877d9", "#705da0"),
    *("#37872d", "#fade2a", "#447ebc", "#c15c17", "#890f02", "#0a437c", "#6d1f62", "#584477"),
)

Point = tuple[float, float]


class Canvas:
    """A picture of a size in Grafana's pixels. `texts` keeps what was written, in order."""

    def __init__(self, width: int, height: int) -> None:
        self._figure = Figure(figsize=(width / INCH, height / INCH), dpi=INCH, facecolor=BACKGROUND)
        self._renderer = FigureCanvasAgg(self._figure).get_renderer()  # type: ignore[no-untyped-call] # its own omission
        self._axes = self._figure.add_axes((0, 0, 1, 1))
        self._axes.set(xlim=(0, width), ylim=(height, 0))
        self._axes.set_axis_off()
        self._layers = count()
        self.texts: list[str] = []

    def fill(
        self, box: Box, colour: str, *, edge: str = "none", corners: float = 0, alpha: float = 1
    ) -> None:
        """A rectangle, with an edge or without, its corners rounded or not."""
        shape: Patch = Rectangle((box.x, box.y), box.w, box.h, antialiased=False)
        if corners:
            style = f"round,pad=0,rounding_size={corners}"
            shape = FancyBboxPatch((box.x, box.y), box.w, box.h, boxstyle=style)
        shape.set(
            facecolor=colour, edgecolor=edge, linewidth=_points(1), alpha=alpha, zorder=next(self._layers)
        )
        self._axes.add_patch(shape)

    def line(self, points: Sequence[Point], colour: str, width: float = 1, *, dashed: bool = False) -> None:
        """A line through points."""
        xs, ys = zip(*points, strict=True)
        style = (0, (8 * 0.72, 6 * 0.72)) if dashed else "-"
        self._axes.plot(
            xs, ys, color=colour, linewidth=_points(width), linestyle=style, zorder=next(self._layers)
        )

    def area(self, top: Sequence[Point], bottom: Sequence[float], colour: str, alpha: float) -> None:
        """What lies between a line through points and the heights below them."""
        xs, ys = zip(*top, strict=True)
        self._axes.fill_between(
            xs, ys, bottom, facecolor=colour, alpha=alpha, linewidth=0, zorder=next(self._layers)
        )

    def text(  # noqa: PLR0913 - all of it is how a text looks
        self,
        at: Point,
        text: str,
        size: float = 12,
        colour: str = TEXT,
        *,
        align: str = "left",
        room: float | None = None,
    ) -> float:
        """A text around the height `at`; cut off where it has no room. Returns its width."""
        shown = text if room is None else self._cut(text, size, room)
        self.texts.append(shown)
        self._axes.text(
            *at,
            shown,
            fontproperties=_font(size),
            color=colour,
            ha=align,
            va="center_baseline",
            parse_math=False,
            zorder=next(self._layers),
        )
        return self.width(shown, size)

    def width(self, text: str, size: float = 12) -> float:
        """How wide a text is."""
        wide, _, _ = self._renderer.get_text_width_height_descent(text, _font(size), ismath=False)
        return float(wide)

    def _cut(self, text: str, size: float, room: float) -> str:
        shown = text
        while len(shown) > 1 and self.width(shown, size) > room:
            shown = shown.removesuffix("…")[:-1] + "…"
        return shown

    def save(self, path: Path, **notes: str) -> None:
        """Write it as a PNG of few colours, with notes in it that nobody sees."""
        page = BytesIO()
        self._figure.savefig(page, dpi=INCH * SCALE, format="png")
        picture = Image.open(page).convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE)
        info = PngInfo()
        for name, note in notes.items():
            info.add_text(name, note)
        picture.save(path, optimize=True, pnginfo=info)


def _points(pixels: float) -> float:
    return pixels * 72 / INCH


def _font(size: float) -> FontProperties:
    return FontProperties(family="DejaVu Sans", size=_points(size))
