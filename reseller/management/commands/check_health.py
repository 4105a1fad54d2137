"""Ask one process of the portal whether it works; the exit status is the answer."""

import os
from argparse import ArgumentParser

from django.conf import settings
from django.core.management import BaseCommand, CommandError

from reseller import health


class Command(BaseCommand):
    """`manage.py check_health NAME`, for people; `make run` and containers make the same checks without Django."""

    help = __doc__
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        """NAME is a service of docker-compose.yml and a process of `make run`."""
        parser.add_argument("name", choices=sorted(health.CHECKS))

    def handle(self, *args: object, name: str, **options: object) -> None:
        """Raises CommandError with the reason when the process is not healthy."""
        for variable in ("REDIS_URL", "SITE_URL", "SIMULATOR_HOST", "SIMULATOR_PORT", "STRIPE_API_BASE"):
            os.environ.setdefault(variable, str(getattr(settings, variable)))
        try:
            health.CHECKS[name]()
        except health.UnhealthyError as error:
            raise CommandError(f"{name}: {error}") from error
        self.stdout.write(f"{name}: ok")
