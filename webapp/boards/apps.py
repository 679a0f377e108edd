from __future__ import annotations

from django.apps import AppConfig


class BoardsConfig(AppConfig):
    """The team's page, and boards: tiles of its experiments and comparisons beside text."""

    name = "webapp.boards"

    def ready(self) -> None:
        from webapp.boards.shares import BoardTarget
        from webapp.sharing.targets import register

        register(BoardTarget())
