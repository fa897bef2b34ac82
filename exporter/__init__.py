"""Prometheus exporter for cloud browsers."""

__version__ = "0.1.0"
# `git archive`, which makes the releases, puts the commit here; see .gitattributes.
_ARCHIVED = "$Format:%h$"
__revision__ = "unknown" if _ARCHIVED.startswith("$") else _ARCHIVED
