"""A page of metrics in parts, so that only those whose figures have changed are rendered anew."""

from collections.abc import Callable, Iterable, Iterator
from functools import partial

import msgspec
from prometheus_client.core import Metric

from exporter.model import Account


class Part(msgspec.Struct, frozen=True):
    """Families of an account, or of the process, that follow from the same figures.

    owner: the account; None for the process. name: which part of the owner's it is.
    figures: equal ones make equal families.
    make: returns the families, with the owner's samples alone.
    """

    owner: Account | None
    name: str
    figures: object
    make: Callable[[], Iterable[Metric]]


def given(owner: Account | None, families: Iterable[Metric]) -> Iterator[Part]:
    """Yields a part for each of an owner's families that are there already."""
    for family in families:
        yield Part(owner, family.name, family.samples, partial(_alone, family))


def _alone(family: Metric) -> tuple[Metric]:
    return (family,)
