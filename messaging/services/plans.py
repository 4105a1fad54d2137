"""Query plans of the statements that run thousands of times: fixed, because statistics lag behind a queue.

A queue is empty one minute and full the next, so the planner's idea of it is usually wrong, and a wrong plan reads
whole partitions. Every such statement is written to walk an index; these settings make that the only choice.
"""

from django.db.backends.utils import CursorWrapper

SETTINGS = {
    "enable_seqscan": "off",
    "enable_bitmapscan": "off",
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
    "enable_sort": "off",
}

_PIN = "SELECT " + ", ".join(f"set_config('{name}', '{value}', true)" for name, value in SETTINGS.items())


def pin_plans(cursor: CursorWrapper) -> None:
    """Use index walks until the open transaction ends."""
    cursor.execute(_PIN)
