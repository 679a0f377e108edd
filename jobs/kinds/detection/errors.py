"""How a runner-side function says that another attempt would fail too."""

from __future__ import annotations


class Hopeless(Exception):
    """A failure that stays: bad data, a loss that is not a number. The sentence says what to do."""

    is_final = True  # see jobs.runner
