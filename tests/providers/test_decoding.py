"""Halves of characters, as JavaScript leaves them."""

import tracemalloc

import msgspec
import pytest

from exporter.providers.decoding import MAX_LONE_SURROGATES, repair_lone_surrogates


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (rb'"a\ud83d"', "a\ufffd"),
        (rb'"\uDE00b"', "\ufffdb"),
        (rb'"\ud83d\ude00"', "\U0001f600"),
        (rb'"\ud83d\ud83d\ude00\ude00"', "\ufffd\U0001f600\ufffd"),
        (rb'"plain"', "plain"),
    ],
)
def test_half_a_character_spoils_no_body(body: bytes, text: str) -> None:
    assert repair_lone_surrogates(msgspec.json.decode, body) == text


def test_halves_of_characters_cost_little_more_memory_than_the_body() -> None:
    """And beyond so many it is not what JavaScript has left, and no JSON."""
    body = b'["' + b"x\\ud83d" * MAX_LONE_SURROGATES + b'"]'
    tracemalloc.start()
    try:
        assert len(repair_lone_surrogates(msgspec.json.decode, body)[0]) == 2 * MAX_LONE_SURROGATES
        assert tracemalloc.get_traced_memory()[1] < 6 * len(body)
    finally:
        tracemalloc.stop()
    with pytest.raises(msgspec.DecodeError):
        repair_lone_surrogates(msgspec.json.decode, body[:-2] + b'\\ud83d"]')
