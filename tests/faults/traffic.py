"""What a seeded run sends while everything breaks, and what must be true in the end."""

import random
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from decimal import Decimal

import requests
from django.db import InterfaceError, OperationalError, connections
from django.db.models import QuerySet, Sum

from accounts.models import Account, User
from billing.models import Hold
from billing.services import ledger
from billing.services.credits import transfer_credits
from messaging.models import Batch, Message
from reseller.run.stack import Stack
from smpp.journal import Accepted
from smpp.simulator import read_journal
from smpp.text import segment
from tests.conftest import differences
from tests.demo import PASSWORD
from tests.messaging.rows import count_anew

# Each pays in its own way: by card with a margin below a reseller, from a reseller's own wallet, billed to the parent,
# by SMS credits, and in another currency.
LOGINS = ("client", "reseller", "billed", "credits", "outsider-client")
PATIENCE = 240.0  # seconds until all is done after the last fault
# What the simulated carrier does, by the last four digits (smpp/behaviours.py); all others are delivered.
ENDINGS = {
    "0001": "rejected", "0002": "undelivered", "0003": "expired", "0006": "delivered", "0007": "delivered",
    "0008": "delivered",
}  # fmt: skip
TEXTS = ("Short and sweet", "Mit Umlaut und Euro: äöü €", "A long one, said again and again. " * 9, "Ciao 🦊 " * 20)
OPEN = ("scheduled", "held", "queued", "released", "sending", "sent")
GROUPS = 20  # of numbers with each ending, in a run


class Sender:
    """A client in a browser without a screen."""

    def __init__(self, stack: Stack, login: str) -> None:
        self.url = stack.url
        self.session = requests.Session()
        self.post("/login/", login=f"{login}@demo.example", password=PASSWORD)

    def post(self, path: str, **data: str) -> requests.Response:
        """Post a form with its CSRF token, as the page's own form does."""
        if "csrftoken" not in self.session.cookies:
            self.session.get(self.url + path, timeout=30)
        token = self.session.cookies["csrftoken"]
        headers = {"Referer": self.url + path, "X-CSRFToken": token}
        return self.session.post(self.url + path, data=data, headers=headers, timeout=60)

    def send(self, recipients: list[str], text: str, key: str) -> None:
        """Send as the preview's button does; again, with the same key, as long as the answer is lost or an error."""
        data = {"recipients": "\n".join(recipients), "sender": "Faults", "text": text, "key": key, "step": "send"}
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            try:
                answer = self.post("/send/", **data)
            except requests.RequestException:
                time.sleep(0.3)
                continue
            if "/batches/" in answer.url:
                return
            assert answer.status_code >= 500, answer.text
            time.sleep(0.3)
        raise TimeoutError("the web did not come back")


@dataclass
class Sending:
    """One batch that is to be sent."""

    login: str
    key: str
    text: str
    recipients: list[str]


@dataclass
class Traffic:
    """All batches of one run."""

    sendings: list[Sending]
    errors: list[BaseException] = field(default_factory=list)

    @classmethod
    def plan(cls, choice: random.Random, run: int, count: int) -> "Traffic":
        """``count`` messages in two batches of each account, to numbers that no other run uses."""
        numbers = iter(_numbers(choice, run, count))
        share = count // (2 * len(LOGINS))
        return cls([
            Sending(
                login, f"{run:08x}{index:04x}{part:04x}{choice.getrandbits(64):016x}", choice.choice(TEXTS),
                [next(numbers) for _ in range(share)],
            )
            for part in range(2)
            for index, login in enumerate(LOGINS)
        ])  # fmt: skip

    @property
    def recipients(self) -> set[str]:
        return {number for sending in self.sendings for number in sending.recipients}

    @property
    def messages(self) -> QuerySet[Message]:
        return Message.objects.filter(batch__idempotency_key__in=[sending.key for sending in self.sendings])

    @contextmanager
    def sent_by(self, senders: dict[str, Sender]) -> Iterator[None]:
        """Each account sends its batches, one after the other, beside what the block does."""
        threads = [threading.Thread(target=self._send, args=(senders[login], login)) for login in LOGINS]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            for thread in threads:
                thread.join()
        assert self.errors == []

    def _send(self, sender: Sender, login: str) -> None:
        try:
            for sending in self.sendings:
                if sending.login == login:
                    sender.send(sending.recipients, sending.text, sending.key)
        except BaseException as error:  # told by ``sent_by``
            self.errors.append(error)

    # --- the end ---------------------------------------------------------------------------------------------------

    def wait_until_done(self, stack: Stack) -> None:
        """Return once every message has its last word and its money moved; raises TimeoutError saying what is open."""
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            try:
                if self._is_done() and not self._still_to_be_told(stack):
                    return
            except (OperationalError, InterfaceError):
                connections.close_all()
            time.sleep(0.3)
        raise TimeoutError(f"not done after {PATIENCE:.0f} s: {self.states()}, {self._still_to_be_told(stack)}")

    def states(self) -> Counter[str]:
        return Counter(self.messages.values_list("state", flat=True))

    def _is_done(self) -> bool:
        mine = self.messages
        return (
            mine.count() == len(self.recipients)
            and not mine.filter(state__in=OPEN).exists()
            and not mine.exclude(state="unknown").filter(settled_at=None).exists()
        )

    def _still_to_be_told(self, stack: Stack) -> list[str]:
        """Unknown messages that the carrier has whole: their receipts are on the way."""
        unknown = {one.recipient: one.parts for one in self.messages.filter(state="unknown")}
        if not unknown:
            return []
        taken = Counter(entry.destination for entry in self._arrived(stack))
        return [number for number, parts in unknown.items() if taken[number] >= parts]

    def _arrived(self, stack: Stack) -> list[Accepted]:
        mine = self.recipients
        return [one for one in read_journal(stack.local_dir / "simulator").accepted if one.destination in mine]

    def check(self, stack: Stack, *, most_unknown: int) -> Counter[str]:
        """Nothing lost, nothing doubled, every cent where it belongs; returns how many messages are in which state."""
        states = self.states()
        assert states["unknown"] <= most_unknown, f"{states}, at most {most_unknown}"
        assert Batch.objects.filter(idempotency_key__in=[one.key for one in self.sendings]).count() == len(
            self.sendings
        )
        arrived = self._arrived(stack)
        twice = [key for key, n in Counter((one.destination, one.payload) for one in arrived).items() if n > 1]
        assert twice == []
        whole = Counter(one.destination for one in arrived)
        for message in self.messages:
            expected = ENDINGS.get(message.recipient[-4:], "delivered")
            assert message.state in (expected, "unknown"), f"{message.recipient} is {message.state}"
            if message.state != "unknown":
                assert whole[message.recipient] == (0 if expected == "rejected" else message.parts), message.recipient
        self._check_holds()
        assert differences() == []
        assert count_anew() == 0  # what the reports are made of
        return states

    def _check_holds(self) -> None:
        """Each batch's hold is open for its unknown messages and for nothing else."""
        for sending in self.sendings:
            batch = Batch.objects.get(idempotency_key=sending.key)
            unknown = Message.objects.filter(batch=batch, state="unknown").aggregate(sum=Sum("price"))["sum"]
            for hold in Hold.objects.filter(batch_id=batch.pk, is_subsidy=False):
                assert hold.amount - hold.captured - hold.released == (unknown or 0), f"{batch.code} {hold}"


def fund(run: str, messages: int) -> None:
    """Give every payer of the run what its messages cost at most."""
    for login in ("client", "reseller", "outsider-client"):
        account = Account.objects.get(memberships__user__email=f"{login}@demo.example")
        ledger.manual_payment(
            account=account, amount=Decimal(messages), key=f"{run}-{login}", reason="faults", actor=None
        )
    client = Account.objects.get(memberships__user__email="credits@demo.example")
    actor = User.objects.get(email="reseller@demo.example")
    credits = max(segment(text).parts for text in TEXTS) * messages // len(LOGINS)
    transfer_credits(client=client, quantity=credits, actor=actor, expected_price=None, idempotency_key=run)


def _numbers(choice: random.Random, run: int, count: int) -> list[str]:
    """Mobiles of which some are refused, throttled or answered oddly; 160 runs have numbers of their own."""
    base = f"+614{run % 40:02d}"
    first = run // 40 * 25
    odd = [f"{base}{first + group:02d}{ending}" for group in range(GROUPS) for ending in ENDINGS]
    usual = [f"{base}{first + one % GROUPS:02d}{1000 + one // GROUPS:04d}" for one in range(count)]
    chosen = choice.sample(odd, min(len(odd), count // 10)) + usual
    chosen = chosen[:count]
    choice.shuffle(chosen)
    return chosen
