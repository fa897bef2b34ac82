"""How many examples Hypothesis tries where the profile's own number is too small."""

from typing import Any

from hypothesis import settings


def examples(number: int, **more: Any) -> settings:
    """Returns settings with so many examples in the profile `ci`, and a tenth of them in `dev`."""
    profile = settings.default
    assert profile is not None
    return settings(max_examples=number * profile.max_examples // 100, **more)
