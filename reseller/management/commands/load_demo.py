"""Load the demo: logins, prices, a simulated carrier and some weeks of sending. Only for trying the portal out."""

from argparse import ArgumentParser

from django.conf import settings
from django.core.management import BaseCommand, CommandError

from reseller.demo.load import load_demo
from reseller.demo.people import PASSWORD

LOGINS = (
    ("staff", "admin@demo.example"),
    ("reseller", "reseller@demo.example"),
    ("client, pays by card", "client@demo.example"),
    ("client, fixed amount by card", "fixed@demo.example"),
    ("client, billed to the reseller", "billed@demo.example"),
    ("another reseller", "outsider@demo.example"),
    ("another reseller's client", "outsider-client@demo.example"),
)


class Command(BaseCommand):
    """`manage.py load_demo`: loads once; each run points the carrier at SIMULATOR_HOST and SIMULATOR_PORT."""

    help = __doc__

    def add_arguments(self, parser: ArgumentParser) -> None:
        """The demo's passwords are public, so a portal with real customers must never get them by accident."""
        parser.add_argument(
            "--yes-this-is-a-demo",
            action="store_true",
            dest="is_demo",
            help="load it outside ENVIRONMENT=development too",
        )

    def handle(self, *args: object, is_demo: bool, verbosity: int, **options: object) -> None:
        """Raises CommandError outside development without the option."""
        if settings.ENVIRONMENT != "development" and not is_demo:
            raise CommandError(
                f"ENVIRONMENT is {settings.ENVIRONMENT!r}: the demo's logins have a public password and would be a hole"
                " in a real portal. Pass --yes-this-is-a-demo when this one is for trying out only."
            )
        messages = load_demo()
        carrier = f"{settings.SIMULATOR_HOST}:{settings.SIMULATOR_PORT}"
        if verbosity == 0:
            return
        if messages is None:
            self.stdout.write(f"The demo is there already; its carrier is now at {carrier}.")
            return
        self.stdout.write(f"Loaded the demo with {messages:,} messages; its carrier is at {carrier}.")
        self.stdout.write(f"Logins, all with the password {PASSWORD}:")
        for role, email in LOGINS:
            self.stdout.write(f"  {email:32} {role}")
