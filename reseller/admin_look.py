"""How the admin looks: the portal's name and colours, and a menu by what staff come to do (django-unfold)."""

from typing import Any

from django.http import HttpRequest
from django.templatetags.static import static
from django.urls import reverse, reverse_lazy

_PAGES_OF_THEIR_OWN = ("admin:messaging_route_health", "admin:messaging_route_profit")  # below the list of routes


def _link(title: str, icon: str, model: str, page: str = "") -> dict[str, Any]:
    """A menu entry for the list of ``model`` ("app_model") or a ``page`` about it, shown to those who may see it."""
    app, _, name = model.partition("_")
    link = reverse_lazy(page or f"admin:{model}_changelist")

    def is_here(request: HttpRequest) -> bool:
        """The list stands for everything below it but what has an entry of its own."""
        if not request.path.startswith(str(link)):
            return False
        return bool(page) or request.path not in [reverse(one) for one in _PAGES_OF_THEIR_OWN]

    return {
        "title": title,
        "icon": icon,
        "link": link,
        "active": is_here,
        "permission": lambda request: request.user.has_perm(f"{app}.view_{name}"),
    }


_NAVIGATION = [
    {"items": [{"title": "Overview", "icon": "dashboard", "link": reverse_lazy("admin:index")}]},
    {
        "title": "Customers",
        "items": [
            _link("Accounts", "account_tree", "accounts_account"),
            _link("Users", "person", "accounts_user"),
            _link("Memberships", "badge", "accounts_membership"),
            _link("Staff groups", "group", "auth_group"),
            _link("Billing terms", "contract", "billing_billingterms"),
            _link("Number terms", "dialpad", "numbers_numberterms"),
            _link("Keyword terms", "vpn_key", "keywords_keywordterms"),
            _link("Invoice terms", "request_page", "billing_invoiceterms"),
            _link("Low-balance notices", "notifications", "billing_noticeterms"),
        ],
    },
    {
        "title": "Prices",
        "items": [
            _link("Rate cards", "sell", "billing_ratecard"),
            _link("Rate overrides", "price_change", "billing_rateoverride"),
            _link("Quotes", "request_quote", "billing_quote"),
        ],
    },
    {
        "title": "Carriers",
        "items": [
            _link("Routes", "alt_route", "messaging_route"),
            _link("Health of routes", "monitor_heart", "messaging_route", "admin:messaging_route_health"),
            _link("Profit of routes", "savings", "messaging_route", "admin:messaging_route_profit"),
            _link("Sending terms", "speed", "messaging_sendingterms"),
            _link("Route plans", "route", "messaging_routeplan"),
            _link("Rules of plans", "rule", "messaging_routerule"),
            _link("SMPP connectors", "settings_ethernet", "messaging_smppconnector"),
            _link("HTTP connectors", "cloud_upload", "messaging_httpconnector"),
            _link("HTTP inbound", "http", "messaging_httpinbound"),
        ],
    },
    {
        "title": "Numbers and keywords",
        "items": [
            _link("Inventory", "dialpad", "numbers_virtualnumber"),
            _link("Imported lists", "upload_file", "numbers_numberimport"),
            _link("Keywords", "key_vertical", "keywords_keyword"),
            _link("Reserved words", "block", "keywords_reservedword"),
            _link("Subscriptions", "event_repeat", "billing_subscription"),
        ],
    },
    {
        "title": "Messages",
        "items": [
            _link("Batches", "stacks", "messaging_batch"),
            _link("Messages", "sms", "messaging_message"),
            _link("Unknown messages", "help", "messaging_unknownmessage"),
            _link("Receipts", "mark_chat_read", "messaging_receipt"),
            _link("Receipts without a message", "mark_chat_unread", "messaging_unmatchedreceipt"),
            _link("Opt-outs", "unsubscribe", "contacts_optout"),
            _link("Inbound messages", "inbox", "messaging_inboundmessage"),
            _link("Inbound parts", "splitscreen", "messaging_inboundpart"),
            _link("Inbound actions", "bolt", "messaging_inboundaction"),
        ],
    },
    {
        "title": "Money",
        "items": [
            _link("Ledger accounts", "account_balance_wallet", "billing_ledgeraccount"),
            _link("Transactions", "receipt_long", "billing_ledgertransaction"),
            _link("Entries", "format_list_numbered", "billing_ledgerentry"),
            _link("Holds", "lock_clock", "billing_hold"),
            _link("Checks of the ledger", "fact_check", "billing_ledgercheck"),
            _link("Top-ups", "credit_card", "billing_topup"),
            _link("Refunds", "undo", "billing_refund"),
            _link("Disputes", "gavel", "billing_dispute"),
            _link("Saved cards", "credit_score", "billing_savedcard"),
            _link("Automatic recharges", "autorenew", "billing_autorecharge"),
            _link("Payment events", "webhook", "billing_paymentevent"),
        ],
    },
    {
        "title": "Operation",
        "items": [
            _link("Outgoing mail", "outgoing_mail", "accounts_outgoingmail"),
            _link("Audit trail", "history", "accounts_auditentry"),
            _link("Failed log-ins", "gpp_maybe", "axes_accessattempt"),
            _link("Periodic tasks", "schedule", "django_celery_beat_periodictask"),
        ],
    },
]

UNFOLD: dict[str, Any] = {
    "SITE_TITLE": "Administration",
    "SITE_HEADER": "Administration",
    "SITE_URL": None,
    "SITE_SYMBOL": "forum",
    "SITE_FAVICONS": [{"rel": "icon", "type": "image/svg+xml", "href": lambda request: static("img/mark.svg")}],
    "SHOW_VIEW_ON_SITE": False,
    "SHOW_BACK_BUTTON": True,
    "THEME": "light",
    "DASHBOARD_CALLBACK": "reseller.dashboards.staff.overview",
    "COLORS": {
        # The portal's teal (static/css/portal.css), dark enough for white text on 600.
        "primary": {
            "50": "#f0fdfa",
            "100": "#e3f3f1",
            "200": "#bfe5e0",
            "300": "#86cdc5",
            "400": "#3fa99f",
            "500": "#17857b",
            "600": "#0f766e",
            "700": "#0b5b55",
            "800": "#0c4a46",
            "900": "#0d3d3a",
            "950": "#052523",
        },
    },
    "SIDEBAR": {"show_search": True, "navigation": _NAVIGATION},
}
