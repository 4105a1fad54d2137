"""What the simulator does with a message, by the last four digits of its recipient."""

from dataclasses import dataclass
from typing import Final

from smpp.pdu import Status
from smpp.receipts import ReceiptStatus


@dataclass(frozen=True, slots=True)
class Behaviour:
    """What happens to a part. `receipts` are (status, error code, seconds or None for the usual delay)."""

    summary: str
    receipts: tuple[tuple[ReceiptStatus, str, float | None], ...] = ((ReceiptStatus.DELIVERED, "000", None),)
    refusal: int = 0
    throttles: int = 0
    receipt_first: bool = False

    @property
    def reaches_phone(self) -> bool:
        """Whether the recipient's phone shows the message; without a receipt nobody says that it does not."""
        return not self.refusal and all(status is ReceiptStatus.DELIVERED for status, *_ in self.receipts)


NORMAL: Final = Behaviour("accepted, and delivered within a second")
BEHAVIOURS: Final = {
    "0001": Behaviour("submit refused with ESME_RSUBMITFAIL", (), refusal=Status.ESME_RSUBMITFAIL),
    "0002": Behaviour("accepted, then undelivered (UNDELIV, err 001)", ((ReceiptStatus.UNDELIVERABLE, "001", None),)),
    "0003": Behaviour("accepted, then expired (EXPIRED, err 002)", ((ReceiptStatus.EXPIRED, "002", None),)),
    "0004": Behaviour("accepted, receipt (DELIVRD) after 20 seconds", ((ReceiptStatus.DELIVERED, "000", 20.0),)),
    "0005": Behaviour("accepted, never a receipt", ()),
    "0006": Behaviour("throttled at first (ESME_RTHROTTLED twice), then accepted and delivered", throttles=2),
    "0007": Behaviour("receipt (DELIVRD) before the submit response", receipt_first=True),
    "0008": Behaviour(
        "accepted, receipt (DELIVRD) twice",
        ((ReceiptStatus.DELIVERED, "000", None), (ReceiptStatus.DELIVERED, "000", None)),
    ),
}


def describe() -> str:
    """List the behaviours for help texts, one a line."""
    lines = [f"  {digits}  {behaviour.summary}" for digits, behaviour in BEHAVIOURS.items()]
    return "\n".join(["What the last four digits of the recipient do:", *lines, f"  other {NORMAL.summary}"])


def behaviour_for(recipient: str) -> Behaviour:
    """What happens to a message to that number."""
    return BEHAVIOURS.get(recipient[-4:], NORMAL)
