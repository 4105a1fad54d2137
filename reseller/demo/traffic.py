"""What the demo's accounts sent in the last weeks: planned here, the same on every run, written by history.py."""

import random
import zoneinfo
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta

import phonenumbers
from phonenumbers import PhoneNumberFormat, PhoneNumberType

from accounts.models import Account
from messaging.models import Message, MessageClass

DAYS = 35
SEED = 2026
# Batches end here, so that what they became is known when the demo is loaded.
QUIET_MINUTES = 5
WORKDAYS = (0, 1, 2, 3, 4)
EVERY_DAY = (*WORKDAYS, 5, 6)
State = Message.State


@dataclass(frozen=True)
class Habit:
    """A text that an account sends on some weekdays (0 = Monday), around a local time, to about ``size`` people."""

    text: str
    sender: str
    weekdays: tuple[int, ...]
    at: time
    size: int
    countries: tuple[tuple[str, int], ...] = (("AU", 1),)
    message_class: MessageClass = MessageClass.TRANSACTIONAL
    spoiled: int = 0  # recipients that are left out of each batch
    cancelled_weeks_ago: int = 0  # in which week its batches were cancelled half-way; 0 = never


HABITS: dict[str, tuple[Habit, ...]] = {
    "client": (
        Habit("Hi! A reminder of your appointment at Harbourside Dental tomorrow. Reply C to confirm or call us on "
              "02 5550 0172 to change it.", "Harbourside", WORKDAYS, time(9, 10), 24, (("AU", 30), ("NZ", 1))),
        Habit("Your booking with Harbourside Dental is confirmed. See you soon!", "Harbourside", EVERY_DAY,
              time(8, 10), 3),
        Habit("It is six months since your last check-up at Harbourside Dental. Teeth like to be looked at before they "
              "ache: book online at harbourside.example/book or just reply to this message and we will call you back "
              "with two times to choose from. Your Harbourside team", "Harbourside", (1,), time(11, 0), 55,
              (("AU", 20), ("GB", 1)), MessageClass.BULK, spoiled=3),
    ),
    "fixed": (
        Habit("Coastal Couriers: your parcel is on the van and arrives today. Track it: coastal.example/t", "Coastal",
              (0, 1, 2, 3, 4, 5), time(7, 25), 30, (("AU", 40), ("NZ", 3), ("SG", 1))),
        Habit("Coastal Couriers: sorry, we missed you. We will try again on the next working day, or choose a pick-up "
              "point at coastal.example/again", "Coastal", WORKDAYS, time(17, 50), 4),
    ),
    "billed": (
        Habit("📚 New at Bayside Books: signed copies, a reading on Saturday at 3 pm and 10 % off for members.",
              "BaysideBook", (3,), time(16, 15), 110, (("NZ", 8), ("AU", 4), ("GB", 1)), MessageClass.BULK, spoiled=4,
              cancelled_weeks_ago=1),
        Habit("Your order has arrived and waits for you at the counter. Bayside Books", "BaysideBook", (1, 2, 4, 5),
              time(10, 40), 9, (("NZ", 6), ("AU", 1))),
    ),
    "reseller": (
        Habit("Southern Cross Messaging: your weekly summary is ready in the portal.", "SthnCross", (4,), time(15, 30),
              12, (("AU", 5), ("NZ", 1), ("GB", 1), ("US", 1))),
    ),
    "outsider": (
        Habit("Lakeshore Reach: planned maintenance tonight from 1 to 2 am.", "+13125550142", (2,), time(12, 0), 10,
              (("US", 4), ("CA", 1))),
    ),
    "outsider-client": (
        Habit("Prairie Fitness: spin class at 6 pm has 4 bikes left. Reply YES to save yours.", "+13125550187",
              (0, 2, 4), time(11, 45), 35, (("US", 6), ("CA", 1)), MessageClass.BULK, spoiled=1),
    ),
}  # fmt: skip

# (state, weight, the carrier's code, reason in the send engine's words); what the carrier refused was never charged.
_FATES = (
    (State.DELIVERED, 940, "000", ""),
    (State.UNDELIVERED, 28, "001", "The carrier could not deliver it."),
    (State.UNDELIVERED, 10, "027", "The carrier could not deliver it."),
    (State.EXPIRED, 10, "002", "The carrier could not deliver it in time."),
    (State.REJECTED, 12, "ESME_RINVDSTADR", "The carrier does not accept this recipient."),
)


@dataclass(frozen=True)
class PlannedMessage:
    """One SMS with its fate; ``sent_at`` None = the carrier never took it."""

    recipient: str
    accepted_at: datetime
    state: str
    error_code: str
    reason: str
    sent_at: datetime | None
    done_at: datetime | None


@dataclass(frozen=True)
class PlannedBatch:
    """One act of sending by the account with that login."""

    login: str
    habit: Habit
    at: datetime
    cancelled_at: datetime | None
    messages: tuple[PlannedMessage, ...]
    left_out: tuple[tuple[str, str, str], ...] = field(default=())  # value, reason, detail


def plan_traffic(accounts: dict[str, Account], now: datetime) -> list[PlannedBatch]:
    """Everything that the accounts (by login) sent in the ``DAYS`` days before ``now``, oldest first."""
    chance = random.Random(SEED)
    planned = []
    for login, habits in HABITS.items():
        zone = zoneinfo.ZoneInfo(accounts[login].time_zone)
        today = now.astimezone(zone).date()
        people = _Phonebook(chance)
        for days_ago in range(DAYS, -1, -1):
            for habit in habits:
                at = _moment(habit, today - timedelta(days=days_ago), zone, chance)
                if at.astimezone(zone).weekday() in habit.weekdays and at < now - timedelta(minutes=QUIET_MINUTES):
                    is_cancelled = 0 < habit.cancelled_weeks_ago == days_ago // 7
                    planned.append(_plan_batch(login, habit, at, people, chance, now, is_cancelled))
    return sorted(planned, key=lambda batch: batch.at)


def _moment(habit: Habit, day: date, zone: zoneinfo.ZoneInfo, chance: random.Random) -> datetime:
    local = datetime.combine(day, habit.at, tzinfo=zone) + timedelta(seconds=chance.randint(-900, 900))
    return local.astimezone(UTC)


def _plan_batch(
    login: str,
    habit: Habit,
    at: datetime,
    people: "_Phonebook",
    chance: random.Random,
    now: datetime,
    is_cancelled: bool,
) -> PlannedBatch:
    recipients = people.pick(habit, max(1, round(habit.size * chance.uniform(0.65, 1.35))))
    cancelled_at = at + timedelta(seconds=40) if is_cancelled else None
    sent_of_it = len(recipients) // 2 if cancelled_at else len(recipients)
    messages = [
        _plan_message(recipient, at + timedelta(milliseconds=20, microseconds=number), number, chance, now)
        if number < sent_of_it
        else PlannedMessage(recipient, at + timedelta(milliseconds=20, microseconds=number), State.CANCELLED, "",
                            "Cancelled before it was sent.", None, cancelled_at)
        for number, recipient in enumerate(recipients)
    ]  # fmt: skip
    return PlannedBatch(login, habit, at, cancelled_at, tuple(messages), _left_out(habit, recipients, chance))


def _plan_message(recipient: str, at: datetime, number: int, chance: random.Random, now: datetime) -> PlannedMessage:
    state, _, code, reason = chance.choices(_FATES, [weight for _, weight, _, _ in _FATES])[0]
    answered = at + timedelta(milliseconds=400 + 8 * number + chance.randint(0, 200))
    if state == State.REJECTED:
        return PlannedMessage(recipient, at, state, code, reason, None, answered)
    done = (
        answered
        + {
            State.DELIVERED: timedelta(seconds=min(600, chance.expovariate(1 / 4) + 0.8)),
            State.UNDELIVERED: timedelta(minutes=chance.uniform(0.2, 90)),
            State.EXPIRED: timedelta(hours=48),
        }[state]
    )
    if done >= now:  # no word from the carrier yet
        return PlannedMessage(recipient, at, State.SENT, "", "", answered, None)
    return PlannedMessage(recipient, at, state, "" if state == State.DELIVERED else code, reason, answered, done)


def _left_out(habit: Habit, recipients: list[str], chance: random.Random) -> tuple[tuple[str, str, str], ...]:
    bad = [(f"04{chance.randint(10, 99)} {chance.randint(100, 999)}", "invalid", "Too short for a number in Australia")]
    bad += [(recipient, "duplicate", "") for recipient in recipients[: habit.spoiled]]
    return tuple(bad[: habit.spoiled])


class _Phonebook:
    """An account's customers: numbers of the right form, made up; the same people are written to again and again."""

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance
        self._by_country: dict[str, list[str]] = {}

    def pick(self, habit: Habit, count: int) -> list[str]:
        """``count`` different numbers, spread over the habit's countries."""
        names, weights = zip(*habit.countries, strict=True)
        spread = self._chance.choices(names, weights, k=count)
        picked: list[str] = []
        for country in sorted(set(spread)):
            wanted = spread.count(country)
            known = self._by_country.setdefault(country, [])
            while len(known) < 2 * wanted:
                known.append(self._new_number(country))
            picked += self._chance.sample(known, wanted)
        return picked

    def _new_number(self, country: str) -> str:
        example = phonenumbers.example_number_for_type(country, PhoneNumberType.MOBILE)
        if example is None:
            raise ValueError(f"no mobile numbers are known for {country}")
        base = phonenumbers.format_number(example, PhoneNumberFormat.E164)
        while True:
            # From 1000 up: the simulator gives a meaning to endings below it.
            number = f"{base[:-5]}{self._chance.randint(0, 9)}{self._chance.randint(1000, 9999)}"
            known = number in self._by_country[country]
            if not known and phonenumbers.is_valid_number(phonenumbers.parse(number)):
                return number
