"""Ids like RudderStack's."""

import random
import string

# A real id is a KSUID, which has digits of base 62.
_DIGITS = string.digits + string.ascii_uppercase + string.ascii_lowercase


def new_id(generator: random.Random, length: int) -> str:
    """Return a random id. Two of 20 digits are never equal in practice."""
    return "".join(generator.choices(_DIGITS, k=length))
