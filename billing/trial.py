"""Where an account's trial stands (PRODUCT.md, money rule 7). Days are the account's own: they end at its midnight."""

import zoneinfo
from dataclasses import dataclass
from datetime import date, datetime

from django.utils import timezone

from accounts.models import Account
from billing.models import BillingTerms


@dataclass(frozen=True)
class Trial:
    """A trial that runs or has run out. ``days_left`` counts today: 1 = the last day, 0 = it is over."""

    ends_on: date
    days_left: int

    @property
    def is_over(self) -> bool:
        return self.days_left == 0


def local_date(account: Account, now: datetime | None = None) -> date:
    """The date in the account's time zone."""
    return (now or timezone.now()).astimezone(zoneinfo.ZoneInfo(account.time_zone)).date()


def trial_of(terms: BillingTerms | None, now: datetime | None = None) -> Trial | None:
    """The account's trial; None for one that is live, and where the parent pays."""
    if terms is None or not terms.on_trial or terms.trial_ends_on is None:
        return None
    return Trial(terms.trial_ends_on, max(0, (terms.trial_ends_on - local_date(terms.account, now)).days + 1))


def trial_is_over(terms: BillingTerms | None, now: datetime | None = None) -> bool:
    """Whether the trial ran out and nothing was paid since: nothing can be sent or spent."""
    trial = trial_of(terms, now)
    return trial is not None and trial.is_over
