"""The example configurations of Prometheus."""

from pathlib import Path

import pytest
import yaml

from tests.support.processes import program, run

FOLDER = Path(__file__).parents[2] / "deploy" / "prometheus"
EXAMPLES = sorted(FOLDER.glob("prometheus*.yml"))


@pytest.mark.parametrize("file", EXAMPLES, ids=lambda file: file.name)
def test_an_example_is_valid_and_names_the_job_that_the_rules_know(file: Path) -> None:
    code, out, errors = run(program("promtool", "prometheus"), "check", "config", file)
    assert (code, errors) == (0, ""), out
    for job in yaml.safe_load(file.read_text())["scrape_configs"]:
        named = [
            one["replacement"] for one in job.get("relabel_configs", ()) if one.get("target_label") == "job"
        ]
        assert (named or [job["job_name"]]) == ["cloud-browser-exporter"]


def test_there_is_an_example_of_service_discovery() -> None:
    assert any("/sd" in file.read_text() for file in EXAMPLES)
