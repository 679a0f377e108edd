from __future__ import annotations

import signal
import threading
from typing import Any

from django.core.management.base import BaseCommand

from jobs import reconciler


class Command(BaseCommand):
    help = "Watch over leases, rings and workers until stopped (SIGTERM). One is enough; several do no harm."

    def handle(self, *args: Any, **options: Any) -> None:
        stopping = threading.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: stopping.set())
        reconciler.run(stopping)
