"""How far a worker has come with a preparation. Kept in Valkey, for the work itself is one transaction."""

from dataclasses import dataclass

import structlog
from django.core.cache import cache
from redis.exceptions import RedisError

from messaging.models import Preparation

log = structlog.get_logger(__name__)

LIFETIME = 15 * 60  # seconds; of a worker that died nothing stays
PASSES = 2  # over all recipients: numbers are read first, then sorted, priced and routed


@dataclass(frozen=True)
class Checked:
    """Recipients that have been looked at, of how many; both 0 while no worker has begun."""

    done: int = 0
    total: int = 0

    @property
    def percent(self) -> int:
        return 100 * self.done // self.total if self.total else 0

    @property
    def is_writing(self) -> bool:
        """Whether all were looked at and their messages are being written."""
        return 0 < self.total == self.done


def note(preparation: Preparation, looked_at: int, total: int) -> None:
    """Say how many of ``total`` were looked at, each counted once in every pass. A Valkey that is away is no error."""
    try:
        cache.set(_key(preparation), (looked_at // PASSES, total), timeout=LIFETIME)
    except RedisError as error:
        log.warning("preparing.not_noted", detail=str(error))


def checked(preparation: Preparation) -> Checked:
    """What was noted last of what is being done to it now."""
    try:
        return Checked(*cache.get(_key(preparation), (0, 0)))
    except RedisError as error:
        log.warning("preparing.not_known", detail=str(error))
        return Checked()


def _key(preparation: Preparation) -> str:
    """It is checked first and accepted later, perhaps after another check: each begins at nothing."""
    return f"preparing:{preparation.pk}:{preparation.state}"
