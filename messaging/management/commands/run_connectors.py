"""`manage.py run_connectors`: the process that hands messages to carriers, see docs/message-way.md."""

import asyncio
import signal
from typing import Any

from django.core.management.base import BaseCommand

from accounts.garbage import spare_collections
from messaging.connectors.process import ConnectorProcess


class Command(BaseCommand):
    """Run the SMPP connectors until SIGTERM or SIGINT; drains within 30 seconds."""

    help = "Run the SMPP connectors: claim released messages, submit them to carriers and store receipts."
    requires_system_checks: list[str] = []

    def handle(self, *args: Any, **options: Any) -> None:
        """Run; any number of these processes may run at once, each bind is held by one."""
        spare_collections()
        asyncio.run(_run_until_signal())


async def _run_until_signal() -> None:
    process = ConnectorProcess()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, process.end)
    await process.run()
