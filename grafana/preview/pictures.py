"""The pictures' files: recorded, evaluated, drawn."""

import sys
import tempfile
from pathlib import Path

from grafana.build import FOLDER as DASHBOARDS
from grafana.preview.alarms import evaluate
from grafana.preview.layout import digest, load
from grafana.preview.monitor import MissingError, serving, store
from grafana.preview.month import COURSE, THRESHOLDS
from grafana.preview.picture import draw
from grafana.preview.questions import Asker, Span
from grafana.preview.recording import record

FOLDER = DASHBOARDS.parent / "pictures"
SECOND = 10**6
ALERTS = 86_400  # seconds before the end for which alerts are evaluated: the longest time that is drawn


def main() -> int:
    """Make them all; 1 where a program is missing or does not come up."""
    try:
        with tempfile.TemporaryDirectory(prefix="cloud-browser-preview-") as folder:
            _make(Path(folder), COURSE.end / SECOND)
    except (MissingError, OSError) as error:
        print(f"make preview: {error}", file=sys.stderr)
        return 1
    return 0


def _make(folder: Path, now: float) -> None:
    print("recording six days of scrapes, which takes two minutes", flush=True)
    store(folder, record(COURSE, folder))
    evaluate(folder, Span(now - ALERTS, now), THRESHOLDS)
    FOLDER.mkdir(exist_ok=True)
    with serving(folder) as monitor:
        for path in sorted(DASHBOARDS.glob("*.json")):
            picture = FOLDER / f"{path.stem}.png"
            draw(Asker(monitor, load(path), now)).save(picture, drawn_from=digest(path))
            print(picture)
