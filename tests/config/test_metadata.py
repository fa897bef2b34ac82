"""The labels of sessions' metadata: names that metrics have already are refused."""

import pytest

from exporter.config.metadata import RESERVED_LABELS, label_name, metadata_key
from exporter.metrics.definitions import TABLE


def test_every_label_of_the_metrics_is_reserved() -> None:
    labels = {label for spec in TABLE for label in spec.labels}
    assert labels | {"job", "instance", "le", "quantile"} == RESERVED_LABELS


@pytest.mark.parametrize("name", sorted(RESERVED_LABELS))
def test_a_reserved_name_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="is a label that metrics have already"):
        label_name(name)


@pytest.mark.parametrize(
    "name", ["", "__team", "__", "1team", "te am", "te-am", "t\u00e9am", "a" * 101, "team\n"]
)
def test_what_no_label_may_be_called_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match=r"not the name of a label|begins with __"):
        label_name(name)


@pytest.mark.parametrize("name", ["team", "_team", "Team", "t2", "a" * 100, "Provider"])
def test_other_names_are_taken(name: str) -> None:
    assert label_name(name) == name


@pytest.mark.parametrize("key", ["team", "Customer Id", "kostenstelle/\u00fc", "a'b", "__team", "x" * 100])
def test_a_key_is_a_printable_line(key: str) -> None:
    assert metadata_key(key) == key


@pytest.mark.parametrize("key", ["", 'a"b', "a\\b", "a\nb", "x" * 101])
def test_other_keys_are_refused(key: str) -> None:
    with pytest.raises(ValueError, match="not one printable line"):
        metadata_key(key)
