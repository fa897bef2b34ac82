"""The dashboards' pictures: every panel drawn, with data, from a short recording of the exporter.

An hour of two fleets' life is stepped through, stored in a real Prometheus and drawn as `make preview` does.
"""

import re
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from PIL import Image
from tools import program

from exporter.fleet import HOUR, MINUTE, SECOND, Fleet
from grafana.build import FOLDER
from grafana.preview.alarms import RULES, evaluate, firing, load_rules
from grafana.preview.axes import ticks
from grafana.preview.layout import COLUMNS, GAP, Box, Cell, Custom, Dashboard, Defaults, box, digest, load
from grafana.preview.monitor import Monitor, serving, store
from grafana.preview.month import COURSE, THRESHOLDS
from grafana.preview.picture import DRAWERS, FOOTNOTE, draw
from grafana.preview.pictures import FOLDER as PICTURES
from grafana.preview.plots import lasting, unbroken
from grafana.preview.questions import Asker, Line, Span, named, since, step_of
from grafana.preview.recording import Clock, Course, Outage, Stage, record, stamped

DASHBOARDS = sorted(FOLDER.glob("*.json"))
README = Path(__file__).parent.parent / "README.md"
LARGEST = 300_000  # bytes of a picture
ORIGIN = 1_772_326_800 * SECOND  # 2026-03-01, 01:00
NOW = ORIGIN // SECOND + 3600

each_dashboard = pytest.mark.parametrize("path", DASHBOARDS, ids=lambda path: path.stem)


def fleet(seed: int) -> Fleet:
    return Fleet(
        origin=ORIGIN,
        seed=seed,
        rate=600,
        history=200,
        retention=2 * HOUR,
        longest=20 * MINUTE,
        error_ratio=0.15,
        timeout_ratio=0.15,
    )


SHORT = Course(
    origin=ORIGIN,
    stages=(Stage(20 * MINUTE, 5 * MINUTE), Stage(40 * MINUTE, MINUTE)),
    fleets={"one": fleet(1), "other": fleet(2)},
    outages=(Outage("one", "browserbase", "401", ORIGIN + 30 * MINUTE, ORIGIN + 50 * MINUTE),),
)


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Monitor]:
    folder = tmp_path_factory.mktemp("recorded")
    installed()
    store(folder, record(SHORT, folder))
    evaluate(folder, Span(NOW - 3600, NOW), THRESHOLDS)
    with serving(folder) as monitor:
        yield monitor


def installed() -> None:
    for name in ("prometheus", "promtool"):
        program(name, "prometheus")


def asker(monitor: Monitor, path: Path) -> Asker:
    return Asker(monitor, load(path), NOW)


@each_dashboard
def test_every_panel_has_data(recorded: Monitor, path: Path) -> None:
    for panel in load(path).panels:
        for target in panel.targets:
            alone = msgspec.structs.replace(panel, targets=[target])
            lines = asker(recorded, path).lines(alone, 600)
            assert lines, f"{panel.title}: {target.expr}"
            assert all(line.points for line in lines)


@each_dashboard
def test_a_picture_shows_titles_legends_and_what_it_is_and_no_text_for_no_data(
    recorded: Monitor, path: Path, tmp_path: Path
) -> None:
    dashboard = load(path)
    canvas = draw(asker(recorded, path))
    assert {panel.title for panel in dashboard.panels if panel.type != "row"} <= set(canvas.texts)
    assert not {panel.defaults.no_value for panel in dashboard.panels if panel.targets} & set(canvas.texts)
    for panel in dashboard.panels:
        if panel.type == "timeseries":
            assert {line.name for line in asker(recorded, path).lines(panel, 600)} <= set(canvas.texts)
    assert canvas.texts[-1] == FOOTNOTE
    canvas.save(tmp_path / "picture.png")
    with Image.open(tmp_path / "picture.png") as picture:
        assert picture.size == (1600, tall(dashboard))
        assert len(picture.convert("RGB").getcolors(LARGEST) or ()) > 50


def tall(dashboard: Dashboard) -> int:
    """Pixels of its picture: the grid's rows between the head of 84 and the foot of 40, 5 for each 4."""
    rows = max(panel.grid_pos.y + panel.grid_pos.h for panel in dashboard.panels)
    return (84 + rows * 38 - 8 + 40) * 5 // 4


@each_dashboard
def test_where_there_is_no_data_the_panel_says_so(path: Path, tmp_path: Path) -> None:
    """So the test before this one can fail."""
    installed()
    with serving(tmp_path) as monitor:
        texts = draw(asker(monitor, path)).texts
    for panel in load(path).panels:
        assert panel.type == "row" or panel.defaults.no_value in texts


def test_a_large_number_is_that_of_its_query(recorded: Monitor) -> None:
    path = FOLDER / "cloud-browser-overview.json"
    (panel,) = (panel for panel in load(path).panels if panel.title == "Open sessions")
    (line,) = asker(recorded, path).lines(panel, 200)
    assert f"{line.points[-1][1]:.0f}" in draw(asker(recorded, path)).texts


def test_an_outage_is_a_red_band_and_its_alert_is_marked(recorded: Monitor) -> None:
    path = FOLDER / "cloud-browser-errors.json"
    (panel,) = (panel for panel in load(path).panels if panel.title == "Accounts")
    (down,) = (
        line for line in asker(recorded, path).lines(panel, 1200) if any(not up for _, up in line.points)
    )
    assert down.name == "browserbase one"
    minutes = [(at - ORIGIN // SECOND) / 60 for at, up in down.points if not up]
    assert (min(minutes), max(minutes)) == (30, 49)
    alerts = recorded.course('ALERTS{alertname="CloudBrowserKeyRefused"}', NOW - 3600, NOW, 60)
    assert [one.labels["account"] for one in alerts] == ["one"]
    begins = {mark.begin for mark in asker(recorded, path).marks()}
    assert alerts[0].points[0][0] in begins


def test_times_of_this_machine_are_told_in_the_fleets(recorded: Monitor) -> None:
    (running,) = recorded.moment("time() - process_start_time_seconds", NOW)
    assert running.points == ((NOW, 3600),)
    ages = recorded.moment("time() - cloud_browser_last_success_timestamp_seconds", NOW)
    assert [age.points[0][1] for age in ages] == [0] * 4


def test_samples_get_a_targets_labels_and_the_fleets_time() -> None:
    page = '# TYPE a counter\na_total{b="c d"} 1.0\nprocess_start_time_seconds 5.0\n# EOF\n'
    target = 'instance="exporter:10925",job="cloud-browser-exporter"'
    assert list(stamped(page, Clock(ORIGIN))) == [
        f"up{{{target}}} 1 1772326800.000",
        f'a_total{{b="c d",{target}}} 1.0 1772326800.000',
        f"process_start_time_seconds{{{target}}} 1772326800.000 1772326800.000",
    ]


def test_every_kind_of_panel_can_be_drawn() -> None:
    used = {panel.type for path in DASHBOARDS for panel in load(path).panels}
    assert used == {*DRAWERS, "row"}


def test_the_columns_of_the_grid_share_the_width() -> None:
    frame = Box(10, 20, COLUMNS * 50 - GAP, 0)
    assert box(Cell(0, 0, 24, 1), frame) == Box(10, 20, 1192, 30)
    assert box(Cell(12, 2, 6, 8), frame) == Box(610, 96, 292, 296)


@pytest.mark.parametrize(
    ("seconds", "step"), [(36, 30), (60, 60), (140, 120), (1, 10), (89, 60), (90, 120), (3600, 3600)]
)
def test_steps_are_grafanas(seconds: float, step: int) -> None:
    assert step_of(seconds) == step


@pytest.mark.parametrize(
    ("text", "seconds"), [("now-6h", 21_600), ("now-1d", 86_400), ("now/d", 7200), ("now/M", 7200)]
)
def test_a_range_begins_when_its_words_say(text: str, seconds: int) -> None:
    assert NOW - since(text, NOW) == seconds


def test_an_unknown_range_is_refused() -> None:
    with pytest.raises(ValueError, match="now/w is no time that is drawn"):
        since("now/w", NOW)


def test_a_legend_leaves_out_labels_that_are_not_there() -> None:
    assert named("{{a}} of {{ b }} in {{c}}", {"a": "x", "b": "y"}) == "x of y in "


@pytest.mark.parametrize(
    ("unit", "highest", "texts"),
    [
        ("none", 78, ["0", "20", "40", "60", "80"]),
        ("cpm", 0.9, ["0 c/m", "0.25 c/m", "0.5 c/m", "0.75 c/m", "1 c/m"]),
        ("percentunit", 0, ["0%", "0.25%", "0.5%", "0.75%", "1%"]),
        ("currencyUSD", 0, ["$0", "$25", "$50", "$75", "$100"]),
        ("bytes", 60 * 2**20, ["0 B", "16 MiB", "32 MiB", "48 MiB", "64 MiB"]),
        ("s", 3000, ["0 s", "16.7 mins", "33.3 mins", "50 mins", "1.11 hours"]),
    ],
)
def test_an_axis_has_round_values_up_to_the_highest_and_further_if_it_is_to(
    unit: str, highest: float, texts: list[str]
) -> None:
    reach = {"percentunit": 0.01}.get(unit, 0)
    defaults = Defaults(unit, "", custom=Custom(axis_soft_max=reach))
    assert [text for _, text in ticks(highest, 200, defaults)] == texts


def test_what_lies_further_apart_than_a_step_is_not_connected() -> None:
    area = [(at, 1.0, 0.0) for at in (0, 60, 120, 300, 360)]
    assert [len(part) for part in unbroken(area, 60)] == [3, 2]


def test_a_state_lasts_until_the_next_one_a_gap_or_the_end() -> None:
    line = Line("", {}, [(0, 1), (60, 1), (120, 0), (300, 0), (360, 0)], 60)
    assert list(lasting(line, Span(0, 390))) == [(0, 120, 1), (120, 180, 0), (300, 390, 0)]


def test_an_alert_fires_once_it_was_true_for_long_enough() -> None:
    points = [(60.0 * minute, 0.5) for minute in (1, 2, 3, 4, 7, 8, 9, 20)]
    assert [at / 60 for at, _ in firing(points, 120)] == [3, 4, 9]
    assert len(firing(points, 0)) == 8


def test_the_thresholds_that_are_set_are_in_the_rules() -> None:
    rules = {rule.record: rule.expr for rule in load_rules(RULES, THRESHOLDS)}
    assert {name: rules[name] for name in THRESHOLDS} == {
        name: f"vector({value})" for name, value in THRESHOLDS.items()
    }


def test_a_stage_lasts_for_whole_steps() -> None:
    with pytest.raises(ValueError, match="whole number of its steps"):
        Stage(HOUR, 7 * MINUTE)


def test_the_course_ends_when_money_and_day_mean_something() -> None:
    end = COURSE.end // SECOND
    assert end - since("now/d", end) == 18 * 3600
    assert end - since("now/M", end) == (end - ORIGIN // SECOND) + 3600


@each_dashboard
def test_the_picture_in_the_readme_is_of_the_committed_json(path: Path) -> None:
    picture = PICTURES / f"{path.stem}.png"
    with Image.open(picture) as opened:
        assert opened.info["drawn_from"] == digest(path), "run: make preview"
        assert opened.size == (1600, tall(load(path)))
    assert picture.stat().st_size < LARGEST
    shown = re.findall(r"\]\((grafana/pictures/[a-z-]+\.png)\)", README.read_text())
    assert f"grafana/pictures/{picture.name}" in shown


def test_the_readme_says_that_the_pictures_are_none_of_grafana() -> None:
    assert "not screenshots of Grafana" in " ".join(README.read_text().split())
