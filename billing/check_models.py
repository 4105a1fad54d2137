"""What the proofs of the books found, and how far an incremental one may rely on the one before (docs/ledger.md)."""

from typing import Any

from django.db import models
from django.utils import timezone


class LedgerCheck(models.Model):
    """One run of ``verify_ledger``; ``ok`` is empty while it runs, and stays so when it died."""

    class Mode(models.TextChoices):
        FULL = "full", "Everything"
        SINCE = "since", "Since the last clean run"

    mode = models.CharField(max_length=6, choices=Mode.choices)
    started_at = models.DateTimeField(default=timezone.now)
    finished_at = models.DateTimeField(null=True, blank=True)
    ok = models.BooleanField("books are right", null=True, blank=True)
    transactions = models.PositiveBigIntegerField(default=0, help_text="Movements that it covered.")
    # [{"name": proof, "count": all differences, "differences": the first ones}, …] of the proofs that failed.
    differences: Any = models.JSONField(default=list, blank=True)

    class Meta:
        indexes = [models.Index(fields=["-started_at"], name="ledger_check_latest")]

    def __str__(self) -> str:
        return f"{self.get_mode_display()}, {self.started_at:%Y-%m-%d %H:%M}"


class LedgerMark(models.Model):
    """Up to which entry a ledger account has been proven, and its balance after that entry.

    Entries of one ledger account get their ids under its row lock, so none with a smaller id can come later.
    """

    ledger_account = models.OneToOneField(
        "billing.LedgerAccount", models.CASCADE, primary_key=True, related_name="mark"
    )
    entry_id = models.BigIntegerField()
    balance = models.DecimalField(max_digits=18, decimal_places=6)
    proven_at = models.DateTimeField()

    def __str__(self) -> str:
        return f"{self.ledger_account_id}: {self.balance}"
