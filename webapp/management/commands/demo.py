from __future__ import annotations

from webapp.launcher import demo
from webapp.launcher.launcher import Launcher, Opening
from webapp.management.commands import serve


class Command(serve.Command):
    help = "Start Canopy with a demo team and a demo experiment that is submitted once. Ctrl+C stops it."

    def launcher(self, host: str, port: int) -> Launcher:
        return Launcher(host, port, self.say, prepare=self.prepare)

    def prepare(self) -> Opening:
        demo.prepare()
        return Opening(demo.experiment_path(), demo.sign_in_hint())
