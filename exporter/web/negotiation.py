"""Content negotiation: the form and encoding of the metrics that a client accepts (RFC 9110, 12.5)."""

from collections.abc import Callable, Container, Iterator
from functools import lru_cache
from itertools import product
from typing import Any, TypeAlias

from prometheus_client.exposition import choose_encoder

Form: TypeAlias = tuple[Callable[[Any], bytes], str]

RANGES = ("*/*", "text/*", "application/*")

_DEFAULT, _OPENMETRICS = choose_encoder(""), choose_encoder("application/openmetrics-text;version=1.0.0")
_KINDS = "application/openmetrics-text;version=1.0.0", "text/plain;version=0.0.4", "text/plain;version=1.0.0"
_ESCAPINGS = "underscores", "allow-utf-8", "dots", "values"
# Accept headers outside this list do not create new cache keys.
_FORMS = {
    choose_encoder(accept)[1]
    for accept in (
        "application/openmetrics-text",
        *(f"{kind};escaping={escaping}" for kind, escaping in product(_KINDS, _ESCAPINGS)),
    )
}


@lru_cache(maxsize=64)  # Prometheus sends the same header at each scrape
def negotiate(accept: str) -> Form:
    """Returns the known form that an Accept header weighs highest; the text format if it names none.

    A media type of weight 0 is refused: a range such as `*/*` does not stand for it then.
    """
    weighted = sorted(_weighted(accept), key=lambda item: item[1], reverse=True)
    refused = {media_range.partition(";")[0] for media_range, weight in weighted if weight <= 0}
    for media_range, weight in weighted:
        form = _form(media_range, refused) if weight > 0 else None
        if form is not None:
            return form
    return _DEFAULT


def accepts_gzip(accept_encoding: str) -> bool:
    """Returns whether gzip is accepted, and not less than no encoding."""
    weights = dict(_weighted(accept_encoding))
    weight = weights.get("gzip", weights.get("*", 0.0))
    return weight > 0 and weight >= weights.get("identity", 0.0)


def _weighted(header: str) -> Iterator[tuple[str, float]]:
    """Yields the items of a header with their weights, 0 to 1 (RFC 9110, section 12.4.2)."""
    for item in header.lower().split(","):
        parts = [part.strip() for part in item.split(";")]
        weights = [part.removeprefix("q=") for part in parts if part.startswith("q=")]
        try:
            weight = float(weights[0]) if weights else 1.0
        except ValueError:
            weight = 0.0  # malformed: taken as not acceptable
        yield ";".join(part for part in parts if not part.startswith("q=")), min(weight, 1.0)


def _form(media_range: str, refused: Container[str]) -> Form | None:
    """Returns the form of a media range of an Accept header, without its weight; None where there is none."""
    media, _, _ = media_range.partition(";")
    if media in RANGES:
        return next((form for form in (_DEFAULT, _OPENMETRICS) if _is_meant(form, media, refused)), None)
    try:
        form = choose_encoder(media_range)
    except (TypeError, ValueError):  # a version that is none
        return None
    # prometheus-client answers what it does not know with its default, of another media type.
    return form if form[1] in _FORMS and form[1].startswith(f"{media};") else None


def _is_meant(form: Form, media_range: str, refused: Container[str]) -> bool:
    media, _, _ = form[1].partition(";")
    return media not in refused and (media_range == "*/*" or media.startswith(media_range.removesuffix("*")))
