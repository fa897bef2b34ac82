"""From which values on a panel takes a colour: what people will want to change stands here, together.

Where `deploy/prometheus/rules` have a threshold for the same, an alert fires at a colour's change.
"""

Limits = tuple[tuple[float, str], ...]

# Of the sessions that ended, the share that failed: worth a look, bad.
FAILING: Limits = ((0.05, "yellow"), (0.2, "red"))
# Seconds that a session has been open. Browserbase ends one after six hours, whatever the plan.
OLD: Limits = ((3600, "yellow"), (5 * 3600, "red"))
# Seconds of a scrape: the alert's threshold, and the deadline with a scrape_timeout of 15 s.
SLOW: Limits = ((12, "yellow"), (14.5, "red"))
# Seconds since an account was read: several scrapes missed, an outage.
STALE: Limits = ((300, "yellow"), (900, "red"))
# Requests left until the provider refuses more.
SCARCE: Limits = ((0, "red"), (10, "yellow"), (25, "green"))
# Of what ought never to happen, once.
ANY: Limits = ((1, "red"),)
# Of what ought to be 1.
WHETHER: Limits = ((0, "red"), (1, "green"))
