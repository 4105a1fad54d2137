"""Query plans of the statements that run thousands of times: fixed, because statistics lag behind a queue.

A queue is empty one minute and full the next, so the planner's idea of it is usually wrong, and a wrong plan reads
whole partitions. Such statements are of two kinds. Those that find rows are written to walk an index, and these
settings make that the only choice. Those that update known rows from arrays name the ids twice: as
``m.id = ANY(ids)``, which finds the rows by their keys in the right partitions, and in a join with the arrays, which
needs a hash join: by any other it compares all with all. tests/messaging/test_plans.py watches them.

As their plan is always the same, it is made once for each connection: they run through PreparedCursor. Planning one of
them for all months takes longer than running it for a few messages.
"""

from accounts.prepared import AnyCursor

SETTINGS = {
    "enable_seqscan": "off",
    "enable_bitmapscan": "off",
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
    "enable_sort": "off",
    "plan_cache_mode": "force_generic_plan",
}
_USUAL = dict.fromkeys((*SETTINGS, "enable_nestloop"), "on") | {"plan_cache_mode": "auto"}

PINS = ", ".join(f"set_config('{name}', '{value}', true)" for name, value in SETTINGS.items())
_PIN = f"SELECT {PINS}"
_UNPIN = "SELECT " + ", ".join(f"set_config('{name}', '{value}', true)" for name, value in _USUAL.items())


HASH_JOINS = "SELECT set_config('enable_hashjoin', 'on', {local}), set_config('enable_nestloop', 'off', {local})"


def pin_plans(cursor: AnyCursor) -> None:
    """Use index walks until the open transaction ends."""
    cursor.execute(_PIN)


def unpin_plans(cursor: AnyCursor) -> None:
    """Let the planner choose again: any other statement may need what the pins forbid, such as sorting a few rows."""
    cursor.execute(_UNPIN)


def join_by_hash(cursor: AnyCursor) -> None:
    """For updates of known rows from arrays, until the open transaction ends."""
    cursor.execute(HASH_JOINS.format(local="true"))
