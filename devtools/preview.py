"""`make preview`: pictures of the dashboards, drawn by Grafana's own components over a Prometheus's answers.

    python -m devtools.preview [--prometheus URL | --empty] [--width PIXELS] [--output FOLDER] [UID ...]

The committed JSON is filled in and asked for as Grafana does it; `grafana/preview` draws the answers, and a
headless Chromium photographs that.
"""

import argparse
import json
import re
import shutil
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import msgspec
import requests

GRAFANA = Path(__file__).parents[1] / "grafana"
PREVIEW = GRAFANA / "preview"
MODULES = PREVIEW / "node_modules"
VERSION = "13.2.3"
CAPTION = (
    f"Drawn from the committed JSON with Grafana's components (@grafana/ui {VERSION}); simulated sessions"
)
STATES = "; bands of state by a drawing of our own"
EVERYTHING = {
    "provider": ".+",
    "account": ".+",
    "project": ".*",
    "region": ".*",
    "job": ".+",
    "instance": ".+",
}
UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
# Steps that Grafana rounds to, in seconds.
STEPS = (15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400)
SCRAPE_INTERVAL = 60
CELL, GAP, HEAD = 30, 8, 44
PAGE = """<!doctype html><meta charset="utf-8"><link rel="stylesheet" href="preview.css">
<script>window.__grafana_public_path__ = 'public/';</script>
<body style="margin:0"><div id="root"></div><script src="preview.js"></script>"""

Json = dict[str, Any]


class Source(msgspec.Struct, frozen=True):
    """Where answers come from: a Prometheus, or nowhere; and the time that is now."""

    url: str | None
    now: float

    def ask(self, path: str, **parameters: str) -> list[Json]:
        """Returns the result of a query. Raises requests.RequestException, ValueError for one refused."""
        if self.url is None:
            return []
        answer = requests.get(f"{self.url}/api/v1/{path}", parameters, timeout=60).json()
        if answer["status"] != "success":
            raise ValueError(f"{answer['error']}: {parameters['query']}")
        result: list[Json] = answer["data"]["result"]
        return result


def main(arguments: Sequence[str] | None = None) -> None:
    """Write a picture of each dashboard."""
    parser = argparse.ArgumentParser(prog="make preview", description=__doc__.splitlines()[0])
    parser.add_argument("--prometheus", default="http://localhost:9090")
    parser.add_argument("--empty", action="store_true", help="as they look without any data")
    parser.add_argument("--expand", action="store_true", help="with the collapsed rows opened")
    parser.add_argument("--width", type=int, default=1600)
    parser.add_argument("--since", help="the time range, such as now-1h; default: the dashboard's own")
    parser.add_argument("--output", type=Path, default=GRAFANA / "pictures")
    parser.add_argument("uids", nargs="*")
    flags = parser.parse_args(arguments)
    source = Source(None if flags.empty else flags.prometheus.rstrip("/"), time.time())
    flags.output.mkdir(exist_ok=True, parents=True)
    with tempfile.TemporaryDirectory(prefix="dashboard-preview-") as name, _served(Path(name)) as url:
        _bundle(Path(name))
        for path in sorted((GRAFANA / "dashboards").glob("*.json")):
            if not flags.uids or path.stem in flags.uids:
                page = page_of(json.loads(path.read_text()), source, flags)
                (Path(name) / "page.json").write_text(json.dumps(page))
                _photograph(url, flags.output / f"{path.stem}.png", flags.width, height_of(page["dashboard"]))


def _bundle(folder: Path) -> None:
    program = MODULES / ".bin" / "esbuild"
    if not program.exists():
        raise SystemExit("make preview: run npm ci in grafana/preview first")
    flags = ("--bundle", "--minify", "--jsx=automatic", "--loader:.ttf=empty", "--log-level=error")
    production = '--define:process.env.NODE_ENV="production"'
    output = f"--outfile={folder / 'preview.js'}"
    subprocess.run([program, PREVIEW / "preview.tsx", *flags, production, output], check=True, cwd=PREVIEW)
    (folder / "index.html").write_text(PAGE)
    icons = MODULES / "@grafana" / "ui" / "dist" / "public" / "img"
    shutil.copytree(icons, folder / "public" / "build" / "img")


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """Nobody wants a line for each file."""


@contextmanager
def _served(folder: Path) -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(folder))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/index.html"
        server.shutdown()


def _photograph(url: str, path: Path, width: int, height: int) -> None:
    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if program is None:
        raise SystemExit("make preview: Chromium is not installed")
    command = [
        program, "--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars",
        "--enable-logging=stderr", "--virtual-time-budget=8000",
        f"--window-size={width},{height}", f"--screenshot={path}", url,
    ]  # fmt: skip
    done = subprocess.run(command, check=True, timeout=120, capture_output=True, text=True)
    for line in done.stderr.splitlines():
        if "CONSOLE" in line and "Uncaught" in line:
            print(line)
    print(path)


def page_of(dashboard: Json, source: Source, flags: argparse.Namespace) -> Json:
    """What `preview.tsx` draws: the dashboard, the answers of each panel by its number, and the caption."""
    since = flags.since or dashboard["time"]["from"]
    if flags.expand:
        dashboard = {**dashboard, "panels": expanded(dashboard["panels"])}
    shown = [panel for panel in dashboard["panels"] if panel["type"] != "row"]
    answers = {panel["id"]: _answers(panel, source, since, flags.width) for panel in shown}
    banded = any(panel["type"] == "state-timeline" for panel in shown)
    caption = CAPTION + STATES * banded
    return {"dashboard": dashboard, "answers": answers, "width": flags.width, "caption": caption}


def expanded(panels: Sequence[Json]) -> list[Json]:
    """The panels with collapsed rows opened, as Grafana lays them out then."""
    shown: list[Json] = []
    shift = 0
    for panel in panels:
        inner = panel.get("panels", [])
        shown += [_moved(one, shift) for one in ({**panel, "panels": []}, *inner)]
        shift += _bottom(inner) - panel["gridPos"]["y"] - 1 if inner else 0
    return shown


def _moved(panel: Json, down: int) -> Json:
    return {**panel, "gridPos": {**panel["gridPos"], "y": panel["gridPos"]["y"] + down}}


def _bottom(panels: Sequence[Json]) -> int:
    return max(int(panel["gridPos"]["y"] + panel["gridPos"]["h"]) for panel in panels)


def height_of(dashboard: Json) -> int:
    """Pixels from the top of the page to the end of the last panel."""
    return HEAD + _bottom(dashboard["panels"]) * (CELL + GAP) + GAP


def _answers(panel: Json, source: Source, since: str, width: int) -> Json:
    """What a panel's queries are answered, with the time range that they cover, in milliseconds."""
    begin = _begin(panel.get("timeFrom") or since, source.now)
    pixels = width * panel["gridPos"]["w"] / 24
    answers = {target["refId"]: _answer(target, source, begin, pixels) for target in panel.get("targets", ())}
    return {"from": int(begin * 1000), "to": int(source.now * 1000), "answers": answers}


def _begin(since: str, now: float) -> float:
    """The start of a range such as `now-6h`, `14d`, `now/d` or `now/M`."""
    if match := re.fullmatch(r"(?:now-)?(\d+)([smhd])", since):
        return now - int(match[1]) * UNITS[match[2]]
    midnight = datetime.fromtimestamp(now, UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    return (midnight.replace(day=1) if since == "now/M" else midnight).timestamp()


def _answer(target: Json, source: Source, begin: float, pixels: float) -> Json:
    least = _seconds(target.get("interval", "15s"))
    step = max(least, next((step for step in STEPS if step >= (source.now - begin) / pixels), STEPS[-1]))
    expression = filled(target["expr"], begin, source.now, step, least)
    if target["instant"]:
        result = source.ask("query", query=expression, time=f"{source.now:.3f}")
        times = [source.now]
    else:
        first, last = (moment // step * step for moment in (begin, source.now))
        bounds = {"start": f"{first:.3f}", "end": f"{last:.3f}", "step": str(step)}
        result = source.ask("query_range", query=expression, **bounds)
        times = [first + place * step for place in range(int((last - first) / step) + 1)]
    series = [{"labels": one["metric"], "values": _values(one, times)} for one in result]
    return {"times": [int(moment * 1000) for moment in times], "series": series}


def _values(series: Json, times: Sequence[float]) -> list[float | None]:
    found = {round(float(at)): _number(value) for at, value in series.get("values") or [series["value"]]}
    return [found.get(round(moment)) for moment in times]


def _number(text: str) -> float | None:
    number = float(text)
    return number if abs(number) < float("inf") else None


def filled(expression: str, begin: float, end: float, step: float, least: float) -> str:
    """An expression with everything chosen and Grafana's variables of time; least: the scrape interval."""
    span = round(end - begin)
    values: Mapping[str, str] = {
        **EVERYTHING,
        "__rate_interval": f"{round(max(step + least, 4 * least))}s",
        "__interval": f"{round(step)}s",
        "__range": f"{span}s",
        "__range_s": str(span),
    }
    return re.sub(r"\$\{?(\w+)\}?", lambda match: values.get(match[1], match[0]), expression)


def _seconds(text: str) -> int:
    return int(text[:-1]) * UNITS[text[-1]]


if __name__ == "__main__":
    main()
