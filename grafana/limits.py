"""From which values on a panel takes a colour.

What alerts compare with stands in the rules alone: panels draw it as a line, or show a share of it. So
these are shares of a limit, and what has no alert.
"""

Limits = tuple[tuple[float, str], ...]

# Of a limit at which an alert fires.
SHARE: Limits = ((0, "green"), (0.8, "yellow"), (1, "red"))
# Of the error budget, what is left.
LEFT: Limits = ((-1e9, "red"), (0, "yellow"), (0.25, "green"))
# How many times faster than the objective allows the error budget is used.
BURNING: Limits = ((0, "green"), (1, "yellow"), (6, "red"))
# Seconds since an account was read: several scrapes missed, an outage.
STALE: Limits = ((0, "green"), (300, "yellow"), (900, "red"))
# Requests left until the provider refuses more.
SCARCE: Limits = ((0, "red"), (10, "yellow"), (25, "green"))
# Of what ought never to happen, once.
ANY: Limits = ((0, "green"), (1, "red"))
# Of what ought to be 1.
WHETHER: Limits = ((0, "red"), (1, "green"))
