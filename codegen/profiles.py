"""Profiles of a firmware: what it is to be good at.

size: weights as narrow as measured accuracy allows. balanced: 16-bit weights. speed: the same numbers as balanced, laid
out for the fewest instructions.
"""

from __future__ import annotations

from typing import Literal, get_args

Profile = Literal["size", "balanced", "speed"]
SIZE: Profile = "size"
BALANCED: Profile = "balanced"
SPEED: Profile = "speed"
PROFILES: tuple[Profile, ...] = get_args(Profile)
