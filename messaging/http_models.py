"""HTTP connectors: how a carrier is asked over HTTP to send, and how its receipts come back."""

from typing import Any

from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models

from accounts.encryption import EncryptedField
from messaging.route_models import Route


class HttpConnector(models.Model):
    """How to send a route's messages by requests to a carrier's server; one request a message.

    Templates of ``parameters`` and ``headers`` know {recipient} (E.164), {digits} (without +), {sender}, {text}, {id}
    (ours), {parts}, {coding} (0 = GSM-7, 2 = UCS-2), {username}, {password} and {receipt_url}. Answers are read by
    paths into JSON (``error.code``, ``messages.0.id``) or by a regular expression's first group (``re:^0: .*``).
    """

    class Method(models.TextChoices):
        GET = "GET", "GET"
        POST = "POST", "POST"

    class Body(models.TextChoices):
        QUERY = "query", "Parameters in the address"
        FORM = "form", "Form"
        JSON = "json", "JSON"

    class Preset(models.TextChoices):
        CUSTOM = "custom", "Own"
        KANNEL = "kannel", "Kannel sendsms"
        TRANSMIT = "transmit", "TransmitSMS send-sms.json"

    route = models.OneToOneField(Route, models.CASCADE, related_name="http_connector")
    preset = models.CharField(max_length=10, choices=Preset.choices, default=Preset.CUSTOM)
    is_enabled = models.BooleanField("enabled", default=True)
    url = models.CharField("URL", max_length=500)
    method = models.CharField(max_length=4, choices=Method.choices, default=Method.POST)
    body = models.CharField(max_length=5, choices=Body.choices, default=Body.FORM)
    parameters = models.JSONField(default=dict, help_text="JSON; the texts in it are templates.")
    headers = EncryptedField(blank=True, help_text="One a line, such as Authorization: Bearer 123.")
    username = models.CharField(max_length=100, blank=True)
    password = EncryptedField(blank=True)
    uses_basic_auth = models.BooleanField("basic authentication", default=False, help_text="With user and password.")
    window = models.PositiveSmallIntegerField(
        default=10,
        validators=[MinValueValidator(1), MaxValueValidator(500)],
        help_text="Requests on their way at once.",
    )
    timeout_seconds = models.PositiveSmallIntegerField(
        default=20, validators=[MinValueValidator(1), MaxValueValidator(120)],
        help_text="An answer that comes later is lost: the message becomes unknown and is not sent again.",
    )  # fmt: skip
    success_path = models.CharField(max_length=200, blank=True, help_text="Empty = every answer 2xx is a yes.")
    success_values = models.CharField(
        max_length=200, blank=True, help_text="What stands there for yes, separated by commas; empty = anything."
    )
    id_path = models.CharField(max_length=200, blank=True, help_text="The carrier's id; empty = ours is used.")
    error_path = models.CharField(max_length=200, blank=True, help_text="The code of a refusal.")
    retry_codes = models.CharField(
        max_length=300, blank=True, help_text="Codes of a refusal that say “later”, separated by commas."
    )
    retry_statuses = models.CharField(
        max_length=100, blank=True, default="429,503", help_text="HTTP statuses that say “later”."
    )
    receipt_secret = EncryptedField(blank=True, editable=False)
    receipt_list_field = models.CharField(
        max_length=60, blank=True, help_text="Of JSON: where the list of receipts stands; empty = one a call."
    )
    receipt_id_field = models.CharField(max_length=60, blank=True, default="id")
    receipt_status_field = models.CharField(max_length=60, blank=True, default="status")
    receipt_error_field = models.CharField(max_length=60, blank=True)
    receipt_recipient_field = models.CharField(max_length=60, blank=True)
    receipt_statuses = models.JSONField(
        default=dict, blank=True,
        help_text="The carrier's words for DELIVRD, UNDELIV, EXPIRED, REJECTD, ACCEPTD and ENROUTE:"
        ' {"delivered": "DELIVRD"}. Other words mean: on its way.',
    )  # fmt: skip
    changed_at = models.DateTimeField(auto_now=True)

    class Meta:
        verbose_name = "HTTP connector"

    def __str__(self) -> str:
        return f"{self.method} {self.url}"


_KANNEL: dict[str, Any] = {
    "method": "GET", "body": "query", "id_path": "", "success_path": r"re:(?s)^(\d+: .*|Sent\..*)$",
    "error_path": r"re:^(.{1,20})", "retry_statuses": "503",
    "parameters": {
        "username": "{username}", "password": "{password}", "from": "{sender}", "to": "{recipient}", "text": "{text}",
        "coding": "{coding}", "charset": "UTF-8", "dlr-mask": "31", "dlr-url": "{receipt_url}?id={id}&status=%d",
    },
    "receipt_id_field": "id", "receipt_status_field": "status",
    "receipt_statuses": {"1": "DELIVRD", "2": "UNDELIV", "4": "ENROUTE", "8": "ACCEPTD", "16": "REJECTD"},
}  # fmt: skip
_TRANSMIT: dict[str, Any] = {
    "method": "POST", "body": "form", "uses_basic_auth": True, "success_path": "error.code",
    "success_values": "SUCCESS", "id_path": "message_id", "error_path": "error.code", "retry_codes": "OVER_LIMIT",
    "retry_statuses": "429,503",
    "parameters": {"message": "{text}", "to": "{digits}", "from": "{sender}", "dlr_callback": "{receipt_url}"},
    "receipt_id_field": "message_id", "receipt_status_field": "status", "receipt_recipient_field": "mobile",
    "receipt_statuses": {
        "delivered": "DELIVRD", "pending": "ENROUTE", "soft-bounce": "UNDELIV", "hard-bounce": "UNDELIV",
    },
}  # fmt: skip
PRESETS: dict[str, dict[str, Any]] = {
    HttpConnector.Preset.KANNEL: _KANNEL,
    HttpConnector.Preset.TRANSMIT: _TRANSMIT,
}
