from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from webapp import env
from webapp.launcher.launcher import Launcher
from webapp.launcher.trouble import Trouble


class Command(BaseCommand):
    help = "Start Canopy on this machine: broker, web, workers and reconciler, until Ctrl+C."

    def add_arguments(self, parser: ArgumentParser) -> None:
        listen = env.text("CANOPY_LISTEN", "127.0.0.1")
        port = env.integer("CANOPY_PORT", 8000, least=1)
        parser.add_argument("--host", default=listen, help="address to listen on (CANOPY_LISTEN; default %(default)s)")
        parser.add_argument("--port", type=int, default=port, help="port (CANOPY_PORT; default %(default)s)")

    def handle(self, *args: Any, **options: Any) -> None:
        launcher = self.launcher(options["host"], options["port"])
        try:
            launcher.run()
        except Trouble as trouble:
            raise CommandError(str(trouble)) from trouble

    def launcher(self, host: str, port: int) -> Launcher:
        return Launcher(host, port, self.say)

    def say(self, line: str) -> None:
        self.stdout.write(line)
        self.stdout.flush()
