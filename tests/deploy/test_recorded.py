"""Every recorded series is there, on Prometheus 2 and 3, for an account of which everything is known."""

from pathlib import Path

import msgspec
import pytest

from tests.support.alert_cases import selectors as one
from tests.support.processes import run
from tests.support.rules import GROUPS, RECORDED, RULES, VERSIONS, promtool

pytestmark = pytest.mark.slow

END = 26 * 60  # minutes: a day, and an hour of the day before
RISING, FALLING, SAME = f"0+1x{END}", f"2000-1x{END}", f"1x{END}"
SERIES = {
    one.UP: SAME,
    one.SCRAPED: SAME,
    one.BUILD: SAME,
    one.COMPLETE: SAME,
    one.LAST: f"0+60x{END}",
    one.ENDED % "error": RISING,
    one.ENDED % "timed_out": RISING,
    one.ENDED % "completed": RISING,
    one.STARTED: RISING,
    one.DURATIONS % "10.0": RISING,
    one.DURATIONS % "+Inf": RISING,
    one.OPEN: SAME,
    one.KEPT: SAME,
    one.OLDEST: SAME,
    one.AGES % ("false", "300.0"): SAME,
    one.AGES % ("false", "+Inf"): SAME,
    one.QUOTA: SAME,
    one.USED: SAME,
    one.COST: RISING,
    one.BYTES: RISING,
    one.CREDIT: FALLING,
    one.LIMIT % "open_sessions": SAME,
    one.TOOK: SAME,
    one.DEADLINE: SAME,
}
# Of what may be absent: a first import, an outage that has just ended.
RARE = {"account:cloud_browser_ledger_refilled:bool", "account:cloud_browser_read_again:bool"}


@pytest.mark.parametrize("version", VERSIONS)
def test_every_recorded_series_is_there(version: str, tmp_path: Path) -> None:
    gone = one.moved(one.UP, account="gone", instance="gone")
    series = {**SERIES, gone: "1x1380 stale"}
    expected = [
        {
            "expr": f"count({name}) > bool 0 # {name}",
            "eval_time": f"{END}m",
            "exp_samples": [{"labels": "{}", "value": 1}],
        }
        for name in sorted(RECORDED - RARE)
    ]
    document = {
        "rule_files": [str(RULES)],
        "evaluation_interval": "4m",
        "group_eval_order": [group["name"] for group in GROUPS],
        "tests": [
            {
                "interval": "1m",
                "input_series": [
                    {"series": selector.replace("NAME", "all"), "values": values}
                    for selector, values in series.items()
                ],
                "promql_expr_test": expected,
            }
        ],
    }
    file = tmp_path / "all.yml"
    file.write_bytes(msgspec.json.encode(document))
    code, out, errors = run(promtool(version), "test", "rules", file, seconds=280)
    assert code == 0, out + errors
