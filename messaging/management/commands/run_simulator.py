"""`manage.py run_simulator`: the carrier of the development stack, see docs/simulator.md."""

import argparse
import asyncio
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser, DjangoHelpFormatter

from smpp import simulator


class _HelpFormatter(argparse.RawDescriptionHelpFormatter, DjangoHelpFormatter):
    """Django's order of options, with the table of digits left as it is written."""


class Command(BaseCommand):
    """Run the SMSC simulator until SIGTERM or SIGINT."""

    help = "Run the SMSC simulator, an SMPP carrier whose behaviour depends on the recipient's last four digits."
    requires_system_checks: list[str] = []

    def create_parser(self, prog_name: str, subcommand: str, **kwargs: Any) -> CommandParser:
        """Show the table of digits under the options."""
        kwargs |= {"epilog": simulator.describe(), "formatter_class": _HelpFormatter}
        return super().create_parser(prog_name, subcommand, **kwargs)

    def add_arguments(self, parser: CommandParser) -> None:
        """Take the simulator's options; host and port default to the settings."""
        simulator.add_arguments(parser)
        parser.set_defaults(host=settings.SIMULATOR_HOST, port=settings.SIMULATOR_PORT)

    def handle(self, *args: Any, **options: Any) -> None:
        """Run; a taken port or journal is one sentence and exit code 1."""
        try:
            asyncio.run(simulator.serve(argparse.Namespace(**options)))
        except (simulator.JournalBusy, OSError) as error:
            where = f"{options['host']}:{options['port']}"
            raise CommandError(f"The simulator cannot start on {where}: {error}") from error
