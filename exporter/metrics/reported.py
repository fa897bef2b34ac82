"""Gauges of what a provider tells of an account beside its sessions. What it does not tell is absent."""

from exporter.metrics.definitions import (
    ACCOUNT_COLLECTOR,
    CREDIT,
    PLAN,
    PROJECT,
    QUOTA_LIMIT,
    QUOTA_USED,
    SUCCESS,
    USAGE_BYTES,
    USAGE_SECONDS,
    Spec,
)
from exporter.metrics.samples import Families
from exporter.model import Account, AccountReport


def add_reported(account: Account, report: AccountReport, success: bool, made: Families) -> None:  # noqa: FBT001 - of a part's figures
    """Adds what the account collector read, and whether that was all."""
    labels = account.provider, account.name
    made.add(SUCCESS, (*labels, ACCOUNT_COLLECTOR), success)
    for spec, project, value in _of_projects(report):
        if value is not None:
            made.add(spec, (*labels, project), value)
    for kind, balance in report.credit.items():
        made.add(CREDIT, (*labels, kind), balance)
    for project, name in report.projects.items():
        made.add(PROJECT, (*labels, project, name), 1)
    if report.plan is not None:
        made.add(PLAN, (*labels, report.plan), 1)


def _of_projects(report: AccountReport) -> list[tuple[Spec, str, int | None]]:
    quotas = [
        (spec, quota.project, value)
        for quota in report.quotas
        for spec, value in ((QUOTA_LIMIT, quota.limit), (QUOTA_USED, quota.used))
    ]
    usage = [
        (spec, one.project, value)
        for one in report.usage
        for spec, value in ((USAGE_SECONDS, one.browser_seconds), (USAGE_BYTES, one.proxy_bytes))
    ]
    return quotas + usage
