from __future__ import annotations

from django.contrib.auth import views as auth_views
from django.urls import path

from webapp.accounts import views_session, views_teams
from webapp.accounts.forms import NewPasswordForm

urlpatterns = [
    path("sign-up/", views_session.sign_up, name="sign-up"),
    path("sign-in/", views_session.SignIn.as_view(), name="sign-in"),
    path("sign-out/", auth_views.LogoutView.as_view(), name="sign-out"),
    path("account/", views_session.account, name="account"),
    path("password/", views_session.PasswordReset.as_view(), name="password_reset"),
    path(
        "password/sent/",
        auth_views.PasswordResetDoneView.as_view(template_name="accounts/password_reset_sent.html"),
        name="password_reset_done",
    ),
    path(
        "password/<uidb64>/<token>/",
        auth_views.PasswordResetConfirmView.as_view(
            template_name="accounts/password_reset_confirm.html", form_class=NewPasswordForm
        ),
        name="password_reset_confirm",
    ),
    path(
        "password/done/",
        auth_views.PasswordResetCompleteView.as_view(template_name="accounts/password_reset_complete.html"),
        name="password_reset_complete",
    ),
    path("teams/new/", views_teams.team_new, name="team-new"),
    path("teams/<uuid:team>/people/", views_teams.team_people, name="team-people"),
    path("teams/<uuid:team>/rename/", views_teams.team_rename, name="team-rename"),
    path("teams/<uuid:team>/people/<uuid:member>/role/", views_teams.member_role, name="member-role"),
    path("teams/<uuid:team>/people/<uuid:member>/remove/", views_teams.member_remove, name="member-remove"),
    path("teams/<uuid:team>/invitations/", views_teams.invite_create, name="invite-create"),
    path("teams/<uuid:team>/invitations/<uuid:code>/revoke/", views_teams.invite_revoke, name="invite-revoke"),
    path("join/<str:token>/", views_teams.invitation, name="invitation"),
]
