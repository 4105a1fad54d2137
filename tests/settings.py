"""Settings of the test suite: the portal's own, pointed at engines that belong to this test run alone."""

import os

from tests.engines import ROOT, run

_RUN = run()
# Set before the portal's settings are read: nothing of this checkout's .env or .local/run.env may reach a test.
os.environ.update(
    {
        "READ_ENV_FILES": "false",
        "ENVIRONMENT": "test",
        "DATABASE_URL": _RUN.database_url,
        "REDIS_URL": _RUN.redis_url,
        "SECRET_KEY": "for-tests-only-0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMN",
        "SITE_URL": "http://testserver",
        "ALLOWED_HOSTS": "testserver,127.0.0.1,localhost",
        "STRIPE_SECRET_KEY": "sk_test_for_tests_only",
        "STRIPE_WEBHOOK_SECRET": "whsec_for_tests_only",
        "STRIPE_API_BASE": "http://127.0.0.1:9",  # nothing answers there: a test that reaches out fails
        "EMAIL_URL": "memorymail://",
        "STATIC_ROOT": str(ROOT / "tests" / "stripe"),  # exists and is small: whitenoise reads it for every client
        "SIMULATOR_CONTROL_PORT": "0",
        "LOG_LEVEL": "WARNING",
    }
)

from reseller.settings import *  # noqa: E402, F403

PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
