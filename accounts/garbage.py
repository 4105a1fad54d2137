"""How often a long-running process looks for garbage."""

import gc
from typing import Final

# Of objects more than before. Sets of a thousand messages come and go without a look; what refers to itself waits for
# one, and is little.
YOUNG: Final = 20_000


def look_seldom() -> None:
    """Look for garbage seldom; call before a process loads its code, hardly any of which is garbage."""
    gc.set_threshold(YOUNG, 20, 20)


def spare_collections() -> None:
    """Never look through what is loaded by now again; call when a process has loaded its code.

    Django and its parts are some hundred thousand objects that live as long as the process. Python walks through all of
    them each time that enough was added, a tenth of a second each: a fifth of the connectors' processor time.
    """
    gc.collect()
    gc.freeze()
    look_seldom()
