"""What a client has by the month, for its parent: numbers and keywords."""

from dataclasses import dataclass

from accounts.models import Account
from keywords.models import Keyword
from keywords.selectors import keywords_of
from virtual_numbers.models import Lease
from virtual_numbers.selectors import held_by

SHOWN_KEYWORDS = 20


@dataclass(frozen=True)
class Holdings:
    """``numbers``: leases of the numbers that it uses; ``keywords``: the newest in force of ``keyword_count``."""

    numbers: list[Lease]
    keywords: list[Keyword]
    keyword_count: int

    @property
    def more_keywords(self) -> int:
        return self.keyword_count - len(self.keywords)


def holdings_of(client: Account) -> Holdings:
    """The client's numbers and keywords as they are now."""
    keywords = keywords_of(client)
    return Holdings(list(held_by(client)), list(keywords[:SHOWN_KEYWORDS]), keywords.count())
