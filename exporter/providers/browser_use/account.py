"""Browser Use Cloud's `GET /billing/account`: quota, credit, plan and project.

`rateLimit` is an old alias of the concurrency limit, and `name` is a person's: neither is read. Version 4 of
the API has no billing endpoint; its users are sent to that of version 2.
"""

import re
from collections.abc import Mapping

from exporter.client.api import Api, Endpoint
from exporter.client.errors import ApiError, StatusError
from exporter.client.refusals import Refusals
from exporter.labels import sanitize_project_id
from exporter.model import AccountReport, Quota
from exporter.providers.base import AccountReading
from exporter.providers.fields import amount, decode_object, label, text, whole

ACCOUNT_PATH = "/billing/account"
_V4 = re.compile(r"/api/v4\Z")
CREDIT = {
    "total": "totalCreditsBalanceUsd",
    "monthly": "monthlyCreditsBalanceUsd",
    "additional": "additionalCreditsBalanceUsd",
}


class BrowserUseAccount:
    """Reads an account's billing. For one thread."""

    def __init__(self, api: Api) -> None:
        self._api, self._refusals = api, Refusals(api.clock)
        self._endpoint = Endpoint(ACCOUNT_PATH, _V4.sub("/api/v2", api.base_url))

    def read(self, deadline: float) -> AccountReading:
        """Returns quota, credit, plan and project, or the failure."""
        try:
            self._refusals.check(ACCOUNT_PATH)
            body = self._api.get(ACCOUNT_PATH, {}, deadline, endpoint=self._endpoint).body
            return AccountReading(_report(decode_object(body, "the billing account")))
        except StatusError as error:
            self._refusals.note(ACCOUNT_PATH, error)
            return AccountReading(AccountReport(), error)
        except ApiError as error:
            return AccountReading(AccountReport(), error)


def _report(fields: Mapping[str, object]) -> AccountReport:
    project = sanitize_project_id(text(fields.get("projectId")))
    limit, used = (whole(fields.get(key)) for key in ("concurrentSessionLimit", "activeSessionCount"))
    plan = fields.get("planInfo")
    credit = {kind: amount(fields.get(key)) for kind, key in CREDIT.items()}
    return AccountReport(
        quotas=(Quota(project, limit=limit, used=used),),
        credit={kind: balance for kind, balance in credit.items() if balance is not None},
        plan=label(plan.get("planName")) if isinstance(plan, dict) else None,
    )
