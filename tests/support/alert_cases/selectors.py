"""The exporter's series of a case; NAME becomes the case's name."""

import re

TARGET = 'job="cloud-browser-exporter",instance="NAME"'
A = f'{TARGET},provider="browserbase",account="NAME"'
L = f'{A},project="p",region="us-west-2"'

UP = f"cloud_browser_up{{{A}}}"
ENDED = f'cloud_browser_sessions_ended_total{{{L},status="%s"}}'
STARTED = f"cloud_browser_sessions_started_total{{{L}}}"
OPEN = f'cloud_browser_sessions{{{L},status="running"}}'
OLDEST = f"cloud_browser_oldest_open_session_start_timestamp_seconds{{{L}}}"
KEPT = f"cloud_browser_keep_alive_sessions{{{L}}}"
AGES = f'cloud_browser_open_session_age_seconds_bucket{{{L},keep_alive="%s",le="%s"}}'
DURATIONS = f'cloud_browser_session_duration_seconds_bucket{{{L},le="%s"}}'
COST = f'cloud_browser_cost_usd_total{{{L},kind="browser",source="estimated"}}'
BYTES = f"cloud_browser_proxy_bytes_total{{{L}}}"
CREDIT = f'cloud_browser_credit_balance_usd{{{A},kind="total"}}'
QUOTA = f'cloud_browser_quota_sessions_limit{{{A},project="p"}}'
USED = f'cloud_browser_quota_sessions_used{{{A},project="p"}}'
LIMIT = f'cloud_browser_limit{{{A},limit="%s"}}'
ERRORS = f'cloud_browser_exporter_errors_total{{{A},collector="sessions",reason="%s"}}'
LAST = f"cloud_browser_last_success_timestamp_seconds{{{A}}}"
COMPLETE = f"cloud_browser_history_complete{{{A}}}"
REMAINING = f"cloud_browser_history_remaining_sessions{{{A}}}"
TOOK = f'cloud_browser_collector_duration_seconds{{{A},collector="sessions"}}'
DEADLINE = f"cloud_browser_exporter_scrape_deadline_seconds{{{TARGET}}}"
BUILD = f'cloud_browser_exporter_build_info{{{TARGET},version="1"}}'
REJECTED = f'cloud_browser_exporter_rejected_sessions_total{{{A},reason="%s"}}'
UNWRITTEN = f"cloud_browser_exporter_ledger_write_errors_total{{{TARGET}}}"
RELOADED = f"cloud_browser_exporter_config_last_reload_successful{{{TARGET}}}"
SCRAPED = f"up{{{TARGET}}}"


def moved(selector: str, **labels: str) -> str:
    """The selector with other values of those labels that it has."""
    for name, value in labels.items():
        selector = re.sub(rf'\b{name}="[^"]*"', f'{name}="{value}"', selector)
    return selector
