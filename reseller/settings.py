"""All settings, read from the environment (see .env.example); production refuses to start without its secrets."""

import sys
from decimal import Decimal
from pathlib import Path

import environ
from celery.schedules import crontab
from csp.constants import NONCE, NONE, SELF
from django.core.exceptions import ImproperlyConfigured

from reseller.admin_look import UNFOLD as UNFOLD  # django-unfold reads it here
from reseller.health import DEFAULT_REDIS_URL, HEARTBEAT_INTERVAL, QUEUES

BASE_DIR = Path(__file__).resolve().parent.parent

env = environ.Env()
# Tests and everything they start switch the files off: they must not see what this checkout is configured for.
if env.bool("READ_ENV_FILES", True):
    if (BASE_DIR / ".env").exists():
        env.read_env(BASE_DIR / ".env")
    # `make run` writes where its embedded engines listen, so that manage.py by hand reaches the same portal.
    if not env.str("DATABASE_URL", "") and (BASE_DIR / ".local" / "run.env").exists():
        env.read_env(BASE_DIR / ".local" / "run.env")

# "development" is what `make run` sets and "test" what `make test` sets; anything else obeys production's rules.
ENVIRONMENT = env.str("ENVIRONMENT", "production")
DEVELOPMENT = ENVIRONMENT in {"development", "test"}
DEBUG = env.bool("DEBUG", False)

# Commands that build, lint or migrate an image need no secrets of the running portal.
_SECRETLESS_COMMANDS = {"collectstatic", "makemigrations", "check", "help", "compilemessages"}
_NEEDS_SECRETS = not DEVELOPMENT and not (len(sys.argv) > 1 and sys.argv[1] in _SECRETLESS_COMMANDS)


def secret(name: str, development: str = "") -> str:
    """Read a secret; outside development a missing one stops the start with a sentence that names it."""
    value = env.str(name, "")
    if value:
        return value
    if _NEEDS_SECRETS:
        raise ImproperlyConfigured(f"{name} is not set. Production needs it, see .env.example; else start make run.")
    return development


SECRET_KEY = secret("SECRET_KEY", "development-only-not-a-secret-0123456789abcdefghijklmnopqrstuvwxyz")
# Carriers' passwords are encrypted with the first of these keys; all of them decrypt (accounts/encryption.py).
CREDENTIAL_KEYS = secret("CREDENTIAL_KEYS", "ZGV2ZWxvcG1lbnQtb25seS1uby1zZWNyZXQtMDEyMzQ=").split(",")
SITE_URL = env.str("SITE_URL", "http://127.0.0.1:8000").rstrip("/")
SITE_NAME = env.str("SITE_NAME", "Relay")
ALLOWED_HOSTS = env.list("ALLOWED_HOSTS", default=["127.0.0.1", "localhost", "[::1]"] if DEVELOPMENT else [])
CSRF_TRUSTED_ORIGINS = env.list("CSRF_TRUSTED_ORIGINS", default=[SITE_URL])

INSTALLED_APPS = [
    "unfold",
    "unfold.contrib.filters",
    "reseller.admin_loading.AdminOnDemand",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django.contrib.humanize",
    "django.contrib.postgres",
    "allauth",
    "allauth.account",
    "axes",
    "crispy_forms",
    "crispy_bootstrap5",
    "django_celery_beat",
    "django_filters",
    "django_htmx",
    "django_structlog",
    "django_tables2",
    "accounts",
    "billing",
    "contacts",
    "virtual_numbers",
    "keywords",
    "messaging",
    "clients",
    "reseller",
]

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "csp.middleware.CSPMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django_structlog.middlewares.RequestMiddleware",
    "allauth.account.middleware.AccountMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    "accounts.middleware.TenantMiddleware",
    "reseller.trial_gate.TrialGateMiddleware",
    "axes.middleware.AxesMiddleware",
]

ROOT_URLCONF = "reseller.urls"
WSGI_APPLICATION = "reseller.wsgi.application"

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "csp.context_processors.nonce",
                "reseller.context_processors.portal",
            ],
            "builtins": ["reseller.templatetags.portal"],
        },
    }
]

# --- Engines -----------------------------------------------------------------------------------------------------
# The URL's login owns the tables and is used (as "owner") for migrations only; everything else acts as
# DATABASE_APP_ROLE, which is no superuser, owns nothing and cannot rewrite the ledger.
DATABASE_APP_ROLE = env.str("DATABASE_APP_ROLE", "reseller_app")
_database = env.db_url_config(secret("DATABASE_URL", "postgres://postgres@127.0.0.1:5432/reseller"))
_database |= {"ENGINE": "django.db.backends.postgresql", "CONN_MAX_AGE": 300, "CONN_HEALTH_CHECKS": True}
# The threshold lets accounts/prepared.py prepare statements; Django's own never are.
_as_application = {"options": f"-c role={DATABASE_APP_ROLE}", "prepare_threshold": 5}
DATABASES = {
    "default": _database | {"OPTIONS": _database.get("OPTIONS", {}) | _as_application},
    "owner": _database | {"CONN_MAX_AGE": 0},
}
DATABASE_ROUTERS: list[str] = []
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
REDIS_URL = secret("REDIS_URL", DEFAULT_REDIS_URL)
CACHES = {
    "default": {
        "BACKEND": "django.core.cache.backends.redis.RedisCache",
        "LOCATION": REDIS_URL,
        # seconds; a Valkey that hangs must not hang who only wants to give a hint
        "OPTIONS": {"socket_timeout": 5, "socket_connect_timeout": 3},
    }
}

CELERY_BROKER_URL = REDIS_URL
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_ACKS_LATE = True
CELERY_TASK_REJECT_ON_WORKER_LOST = True
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_TASK_DEFAULT_QUEUE = "default"
# Celery would open a connection to the database for every task, and close it; see reseller/celery.py.
CELERY_DB_REUSE_MAX = sys.maxsize
# visibility_timeout exceeds the longest task; the short restore interval brings a killed worker's tasks back in
# about ten seconds instead of ninety (measured).
CELERY_BROKER_TRANSPORT_OPTIONS = {
    "visibility_timeout": 3600,
    "unacked_restore_interval": 2,
    "unacked_restore_throttle": 1,
}
CELERY_TASK_ROUTES = {
    "messaging.tasks.accept_*": {"queue": "accept"},
    "messaging.tasks.dispatch_*": {"queue": "dispatch"},
    "messaging.tasks.settle_*": {"queue": "settle"},
    "messaging.tasks.apply_*": {"queue": "settle"},
    "messaging.tasks.receive_*": {"queue": "inbound"},
    "messaging.tasks.do_inbound_*": {"queue": "inbound"},
    "messaging.tasks.make_inbound_*": {"queue": "webhooks"},
    "billing.tasks.*": {"queue": "billing"},
    "virtual_numbers.tasks.*": {"queue": "billing"},
    "keywords.tasks.*": {"queue": "billing"},
}
CELERY_TIMEZONE = "UTC"
# Declared here and copied into the database by the scheduler; staff may change the copies in the admin. (It knows
# "expire_seconds" and drops Celery's "expires" without a word.)
CELERY_BEAT_SCHEDULE = {
    f"heartbeat-{queue}": {
        "task": "reseller.tasks.heartbeat",
        "schedule": HEARTBEAT_INTERVAL,
        "args": [queue],
        "options": {"queue": queue, "expire_seconds": 2 * HEARTBEAT_INTERVAL},
    }
    for queue in QUEUES
} | {
    "forget-changes": {"task": "accounts.tasks.forget_changes", "schedule": 60 * 60},
    "send-waiting-mail": {"task": "accounts.tasks.send_waiting_mail", "schedule": 60},
    "collect-credits": {
        "task": "billing.tasks.collect_stranded_credits",
        "schedule": 120,
        "options": {"expire_seconds": 120},
    },
    "invoice-terms": {"task": "billing.tasks.keep_invoice_terms", "schedule": 60, "options": {"expire_seconds": 60}},
    "low-balance-notices": {"task": "billing.tasks.send_notices", "schedule": 60, "options": {"expire_seconds": 60}},
    "trial-notices": {"task": "billing.tasks.send_trial_notices", "schedule": 60, "options": {"expire_seconds": 60}},
    "sweep-payments": {"task": "billing.tasks.sweep_payments", "schedule": 60, "options": {"expire_seconds": 60}},
    "recharges": {"task": "billing.tasks.sweep_recharges", "schedule": 60, "options": {"expire_seconds": 60}},
    # The sweeps behind every message: what no hint told a worker is found by these. A late one is worth nothing.
    "dispatch": {"task": "messaging.tasks.dispatch_tick", "schedule": 1, "options": {"expire_seconds": 1}},
    "prepare": {"task": "messaging.tasks.accept_prepared", "schedule": 2, "options": {"expire_seconds": 2}},
    "forget-preparations": {"task": "messaging.tasks.forget_preparations", "schedule": 60 * 60},
    "due": {"task": "messaging.tasks.dispatch_due", "schedule": 1, "options": {"expire_seconds": 1}},
    "sample-routes": {"task": "messaging.tasks.sample_routes", "schedule": 60, "options": {"expire_seconds": 50}},
    "failover": {"task": "messaging.tasks.dispatch_failover", "schedule": 2, "options": {"expire_seconds": 2}},
    "validity": {"task": "messaging.tasks.dispatch_expired", "schedule": 5, "options": {"expire_seconds": 5}},
    "silent": {"task": "messaging.tasks.settle_silent", "schedule": 60, "options": {"expire_seconds": 60}},
    "settle": {"task": "messaging.tasks.settle_messages", "schedule": 2, "options": {"expire_seconds": 2}},
    "receipts": {"task": "messaging.tasks.apply_receipts", "schedule": 2, "options": {"expire_seconds": 2}},
    "inbound": {"task": "messaging.tasks.receive_inbound", "schedule": 2, "options": {"expire_seconds": 2}},
    "inbound-actions": {"task": "messaging.tasks.do_inbound_actions", "schedule": 2, "options": {"expire_seconds": 2}},
    "inbound-calls": {"task": "messaging.tasks.make_inbound_calls", "schedule": 5, "options": {"expire_seconds": 5}},
    "partitions": {"task": "messaging.tasks.ensure_partitions", "schedule": 6 * 60 * 60},
    "roll-up-reports": {"task": "messaging.tasks.roll_up_reports", "schedule": 15, "options": {"expire_seconds": 15}},
    "recount-reports": {"task": "messaging.tasks.recount_reports", "schedule": crontab(hour="3", minute="30")},
    "renew-numbers": {"task": "virtual_numbers.tasks.renew_numbers", "schedule": 60, "options": {"expire_seconds": 60}},
    "renew-keywords": {"task": "keywords.tasks.renew_keywords", "schedule": 60, "options": {"expire_seconds": 60}},
    "number-quarantines": {"task": "virtual_numbers.tasks.end_quarantines", "schedule": 60 * 60},
    "number-imports": {"task": "virtual_numbers.tasks.remove_imports", "schedule": 6 * 60 * 60},
    "renewal-notices": {"task": "billing.tasks.send_renewal_notices", "schedule": 15 * 60},
    "verify-ledger": {"task": "messaging.tasks.verify_ledger", "schedule": crontab(hour="2", minute="30")},
    "verify-ledger-since": {"task": "messaging.tasks.verify_ledger", "schedule": 60 * 60, "args": ["since"]},
}
CELERY_BEAT_SCHEDULER = "reseller.scheduler.SparingScheduler"
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_WORKER_HIJACK_ROOT_LOGGER = False

# --- Log-in ------------------------------------------------------------------------------------------------------
AUTH_USER_MODEL = "accounts.User"
# The login name is unique whatever its case, by a constraint over lower(username), which the check does not see.
SILENCED_SYSTEM_CHECKS = ["auth.W004"]
AUTHENTICATION_BACKENDS = [
    "axes.backends.AxesStandaloneBackend",
    "allauth.account.auth_backends.AuthenticationBackend",
]
AUTH_PASSWORD_VALIDATORS = [
    {
        "NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator",
        "OPTIONS": {"user_attributes": ("username", "email", "name")},
    },
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 10}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
    {"NAME": "django.contrib.auth.password_validation.NumericPasswordValidator"},
]
ACCOUNT_ADAPTER = "accounts.adapter.PortalAccountAdapter"
ACCOUNT_LOGIN_METHODS = {"email", "username"}
ACCOUNT_SIGNUP_FIELDS = ["email*", "username*", "password1*", "password2*"]
ACCOUNT_EMAIL_VERIFICATION = "none"
ACCOUNT_PREVENT_ENUMERATION = True
ACCOUNT_LOGOUT_ON_PASSWORD_CHANGE = False
ACCOUNT_SESSION_REMEMBER = None
# django-axes throttles log-ins; allauth's own limits stay for password reset.
ACCOUNT_RATE_LIMITS = {"login": False, "login_failed": False}
# A reset asked for an unknown e-mail sends nothing; nobody can sign up here.
ACCOUNT_EMAIL_UNKNOWN_ACCOUNTS = False
ACCOUNT_FORMS = {
    "login": "accounts.forms.LogInForm",
    "reset_password": "accounts.forms.AskResetForm",
    "reset_password_from_key": "accounts.forms.ResetForm",
}
PASSWORD_RESET_TIMEOUT = 4 * 60 * 60  # seconds; the pages and the mail say four hours
LOGIN_URL = "account_login"
LOGIN_REDIRECT_URL = "dashboard"
LOGOUT_REDIRECT_URL = "account_login"
AXES_FAILURE_LIMIT = env.int("AXES_FAILURE_LIMIT", 8)
AXES_COOLOFF_TIME = 0.25  # hours
AXES_LOCKOUT_PARAMETERS = [["username", "ip_address"]]
AXES_LOCKOUT_CALLABLE = "accounts.lockout.locked_response"
AXES_USERNAME_CALLABLE = "accounts.lockout.login_of"
AXES_RESET_COOL_OFF_ON_FAILURE_DURING_LOCKOUT = False
AXES_RESET_ON_SUCCESS = True
AXES_IPWARE_PROXY_COUNT = env.int("TRUSTED_PROXY_COUNT", 0)
AXES_VERBOSE = False

# --- Security ----------------------------------------------------------------------------------------------------
_HTTPS = SITE_URL.startswith("https://")
SECURE_SSL_REDIRECT = env.bool("SECURE_SSL_REDIRECT", _HTTPS)
SECURE_REDIRECT_EXEMPT = [r"^health/"]
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if env.bool("BEHIND_TLS_PROXY", False) else None
SECURE_HSTS_SECONDS = env.int("SECURE_HSTS_SECONDS", 31_536_000 if _HTTPS else 0)
SECURE_HSTS_INCLUDE_SUBDOMAINS = _HTTPS
SECURE_HSTS_PRELOAD = _HTTPS
SESSION_COOKIE_SECURE = _HTTPS
CSRF_COOKIE_SECURE = _HTTPS
SESSION_COOKIE_AGE = 60 * 60 * 24 * 14
X_FRAME_OPTIONS = "DENY"
CSRF_FAILURE_VIEW = "reseller.errors.csrf_failure"
CONTENT_SECURITY_POLICY = {
    "EXCLUDE_URL_PREFIXES": ["/admin/"],  # django-unfold needs inline code of its own
    "DIRECTIVES": {
        "default-src": [SELF],
        "script-src": [SELF, NONCE],
        "style-src": [SELF, NONCE],
        "img-src": [SELF, "data:"],
        "font-src": [SELF],
        "connect-src": [SELF],
        "object-src": [NONE],
        "base-uri": [NONE],
        "frame-ancestors": [NONE],
        # A form that ends on a payment page redirects there: to Stripe's, or to the local double's.
        "form-action": [
            SELF,
            env.str("STRIPE_API_BASE", "") or "https://checkout.stripe.com",
            "https://hooks.stripe.com",  # the bank asks its customer to approve a payment with a kept card
            *env.list("CSP_FORM_ACTION", default=[]),
        ],
    },
}

# --- Language and time -------------------------------------------------------------------------------------------
LANGUAGE_CODE = "en-us"
USE_I18N = True
FORMAT_MODULE_PATH = "reseller.formats"
USE_TZ = True
TIME_ZONE = "UTC"  # stored; each page is shown in the account's own time zone (accounts.middleware)
USE_THOUSAND_SEPARATOR = True

# --- Static files ------------------------------------------------------------------------------------------------
STATIC_URL = "/static/"
STATIC_ROOT = Path(env.str("STATIC_ROOT", str(BASE_DIR / "staticfiles")))
STATICFILES_DIRS = [BASE_DIR / "static"]
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {
        "BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"
        if DEBUG or ENVIRONMENT == "test"
        else "whitenoise.storage.CompressedManifestStaticFilesStorage"
    },
}
CRISPY_ALLOWED_TEMPLATE_PACKS = "bootstrap5"
CRISPY_TEMPLATE_PACK = "bootstrap5"
DJANGO_TABLES2_TEMPLATE = "_table.html"

# --- Mail --------------------------------------------------------------------------------------------------------
vars().update(env.email_url("EMAIL_URL", default="consolemail://"))
DEFAULT_FROM_EMAIL = env.str("DEFAULT_FROM_EMAIL", "Relay <no-reply@localhost>")
SERVER_EMAIL = DEFAULT_FROM_EMAIL

# --- Card payments -----------------------------------------------------------------------------------------------
STRIPE_SECRET_KEY = secret("STRIPE_SECRET_KEY")
STRIPE_WEBHOOK_SECRET = secret("STRIPE_WEBHOOK_SECRET")
# Empty = Stripe itself; `make run` points it at the local double.
STRIPE_API_BASE = env.str("STRIPE_API_BASE", "")

# --- Product settings --------------------------------------------------------------------------------------------
KEYWORD_PLATFORM_SHARE = Decimal(env.str("KEYWORD_PLATFORM_SHARE", "0.20"))
# Days that a number or keyword whose renewal is not paid goes on working, then stands still, then it ends.
RENEWAL_GRACE_DAYS = env.int("RENEWAL_GRACE_DAYS", 7)
RENEWAL_SUSPENDED_DAYS = env.int("RENEWAL_SUSPENDED_DAYS", 7)
# Days after its release until a number can be leased again.
NUMBER_QUARANTINE_DAYS = env.int("NUMBER_QUARANTINE_DAYS", 30)
# Days for which an uploaded list of numbers that nobody confirmed is kept.
NUMBER_IMPORT_DAYS = env.int("NUMBER_IMPORT_DAYS", 30)
# What happens to messages for which the platform gets less than their route's carrier takes: "flag" lets them go and
# shows them to staff, "refuse" leaves such recipients out.
BELOW_COST_SENDS = env.str("BELOW_COST_SENDS", "flag")
# Seconds without a bind that is bound, or throttled without a pause, after which a route's messages take others.
FAILOVER_SECONDS = env.int("FAILOVER_SECONDS", 60)
# Hours after its time of sending within which a message has to be sent, where its batch says nothing else; what is not
# sent by then expires and costs nothing. 0 = no end.
VALIDITY_HOURS = env.int("VALIDITY_HOURS", 72)
# How long a long message is waited for before it is delivered without the parts that have not come.
INBOUND_PART_SECONDS = env.int("INBOUND_PART_SECONDS", 600)
# How long a carrier that missed our answer may take to bring the same message again (messaging/services).
INBOUND_REPEAT_SECONDS = env.int("INBOUND_REPEAT_SECONDS", 120)
# The most automatic replies that one phone gets from one number within an hour.
INBOUND_REPLIES_PER_HOUR = env.int("INBOUND_REPLIES_PER_HOUR", 10)
# Sent once to whoever opts out by STOP, and paid for by the account, where law or custom asks for it; empty = nothing.
OPT_OUT_CONFIRMATION = env.str("OPT_OUT_CONFIRMATION", "")
# Whether inbound messages may be posted to addresses of this machine and of private networks.
LOCAL_WEBHOOKS = env.bool("LOCAL_WEBHOOKS", DEVELOPMENT)
# Whether carriers may be asked over HTTP at addresses of this machine and of private networks.
PRIVATE_CARRIERS = env.bool("PRIVATE_CARRIERS", DEVELOPMENT)
# The domain whose mail will reach conversations; forwarded messages then name an address in it to answer to.
REPLY_MAIL_DOMAIN = env.str("REPLY_MAIL_DOMAIN", "")
# The most recipients of one batch from SEND SMS; for each, the worker that accepts it needs about a kilobyte.
MAX_WEB_RECIPIENTS = env.int("MAX_WEB_RECIPIENTS", 200_000)
# A list far over that limit must still reach the form, which names the limit; beyond this the answer is a bare 400.
DATA_UPLOAD_MAX_MEMORY_SIZE = 50 * MAX_WEB_RECIPIENTS  # bytes
SIMULATOR_HOST = env.str("SIMULATOR_HOST", "127.0.0.1")
SIMULATOR_PORT = env.int("SIMULATOR_PORT", 2775)
# Where the simulator's phones can be asked (on this machine); 0 = nowhere, and then there is no handset page.
SIMULATOR_CONTROL_PORT = env.int("SIMULATOR_CONTROL_PORT", 0)

# --- Logs --------------------------------------------------------------------------------------------------------
LOG_LEVEL = env.str("LOG_LEVEL", "INFO")
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"()": "reseller.logs.formatter", "json": not DEVELOPMENT}},
    "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "line"}},
    "root": {"handlers": ["console"], "level": LOG_LEVEL},
    "loggers": {"django_structlog": {"level": "WARNING"}, "axes": {"level": "WARNING"}},
}
