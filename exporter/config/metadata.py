"""Labels made of a session's metadata: which names they may have, and which keys they may show."""

import re

from exporter.config.loader import match_pattern, measured, quote

MAX_LENGTH = 100
# Every label of the exporter's metrics, and those that Prometheus sets or that have a meaning of their own.
RESERVED_LABELS = frozenset(
    {
        *("provider", "account", "project", "region", "status", "kind", "source", "keep_alive"),
        *("unit", "limit", "project_name", "plan", "collector", "label", "endpoint", "code", "reason"),
        *("version", "revision", "python_version"),
        *("job", "instance", "le", "quantile"),
    }
)
_NAME = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")
# The same in the JSON Schema.
LABEL_NAMES = {
    "pattern": f"^(?!__){_NAME.pattern}$",
    "maxLength": MAX_LENGTH,
    "not": {"enum": sorted(RESERVED_LABELS)},
}
_WANTED = f"one printable line of 1 to {MAX_LENGTH} characters without quotation marks and backslashes"


def label_name(text: str) -> str:
    """Returns the name of a label. Raises ValueError for one that no label may have, or that is taken."""
    if not _NAME.fullmatch(text) or len(text) > MAX_LENGTH:
        wanted = f"1 to {MAX_LENGTH} letters, digits and _, the first no digit"
        # Not quoted: it may be a secret.
        raise ValueError(f"{measured(text)} is not the name of a label; allowed: {wanted}")
    if text.startswith("__"):
        raise ValueError(
            f"{quote(text)} begins with __, as labels of Prometheus's own do; choose another name"
        )
    if text in RESERVED_LABELS:
        raise ValueError(f"{quote(text)} is a label that metrics have already; choose another name")
    return text


def metadata_key(text: str) -> str:
    """Returns a key of a session's metadata. Raises ValueError."""
    return match_pattern(rf'[^"\\]{{1,{MAX_LENGTH}}}', _WANTED, text)
