from __future__ import annotations

from django.urls import path

from webapp.boards import shares, views, views_team

urlpatterns = [
    path("teams/<uuid:team>/", views_team.team_home, name="team-home"),
    path("teams/<uuid:team>/boards/", views.boards, name="boards"),
    path("teams/<uuid:team>/boards/new/", views.board_create, name="board-create"),
    path("teams/<uuid:team>/boards/markdown/", views.markdown_preview, name="board-markdown"),
    path("teams/<uuid:team>/boards/pin.json", views.pin_choices, name="board-pin-choices"),
    path("teams/<uuid:team>/boards/pin/", views.pin, name="board-pin"),
    path("boards/<uuid:code>/", views.board, name="board"),
    path("boards/<uuid:code>/save/", views.board_save, name="board-save"),
    path("boards/<uuid:code>/tile/", views.tile_preview, name="board-tile"),
    path("boards/<uuid:code>/delete/", views.board_delete, name="board-delete"),
    path("boards/<uuid:code>/versions/", views.versions, name="board-versions"),
    path("boards/<uuid:code>/versions/<int:number>/", views.version, name="board-version"),
    path("boards/<uuid:code>/versions/<int:number>/restore/", views.restore, name="board-restore"),
    path("boards/<uuid:code>/freeze/", views.freeze, name="board-freeze"),
    path("s/<str:token>/board.json", shares.shared_board, name="shared-board"),
    path("boards/frozen/<uuid:code>/", views.frozen, name="board-frozen"),
    path("boards/frozen/<uuid:code>/numbers.json", views.frozen_numbers, name="board-frozen-numbers"),
    path("boards/frozen/<uuid:code>/delete/", views.frozen_delete, name="board-frozen-delete"),
]
