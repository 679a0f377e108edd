"""What each changing address and each changing operation of the API does, in words that follow a name.

tests/webapp/activity checks that there is a phrase for every one, so that no change goes unrecorded.
"""

from __future__ import annotations

# Address or operation -> what the person did. The target's name follows.
PHRASES = {
    "sign-up": "made an account",
    "sign-in": "signed in",
    "sign-in-failed": "failed to sign in",
    "sign-out": "signed out",
    "account": "changed the account",
    "password_reset": "asked for a new password",
    "password_reset_confirm": "set a new password",
    "api-token-create": "made an API token",
    "api-token-revoke": "revoked the API token",
    "team-new": "made a team",
    "team-rename": "renamed the team",
    "member-role": "changed the role of",
    "member-remove": "removed from the team",
    "invite-create": "made an invitation",
    "invite-revoke": "revoked an invitation",
    "invitation": "joined by invitation",
    "price-add": "added a price",
    "price-change": "changed the price",
    "price-remove": "removed the price",
    "experiment-new": "submitted an experiment",
    "experiment-import": "imported results",
    "problem-set-upload": "uploaded a problem set",
    "data-set-add": "added a data set",
    "data-set-delete": "deleted the data set",
    "experiment-cancel": "cancelled",
    "experiment-retry": "retried",
    "experiment-more": "drew more samples of",
    "experiment-draw-start": "drew samples where they help in",
    "experiment-regrade": "graded again",
    "experiment-score": "scored",
    "experiment-rename": "renamed",
    "experiment-priority": "changed the priority of",
    "experiment-delete": "deleted",
    "experiment-try": "tried a picture on",
    "experiment-make": "had a scene drawn by",
    "scene-set-add": "added a set of scenes",
    "scene-set-delete": "deleted the set of scenes",
    "worker-drain": "drained or resumed a worker",
    "queue-order": "changed the order of the queue",
    "share-create": "made a share link",
    "share-pause": "paused the share link",
    "share-resume": "resumed the share link",
    "share-revoke": "revoked the share link",
    "share-revoke-many": "revoked share links",
    # operations of the API
    "upload_data_set": "added a data set",
    "upload_scene_set": "added a set of scenes",
    "add_scene_set_folder": "added a set of scenes",
    "delete_scene_set": "deleted the set of scenes",
    "draw_scene": "had a scene drawn by",
    "add_data_set_folder": "added a data set",
    "delete_data_set": "deleted the data set",
    "try_picture": "tried a picture on",
    "submit_experiment": "submitted an experiment",
    "change_experiment": "renamed or reordered",
    "delete_experiment": "deleted",
    "cancel_experiment": "cancelled",
    "retry_experiment": "retried",
    "draw_more": "drew more samples of",
    "draw_where_it_helps": "drew samples where they help in",
    "regrade_experiment": "graded again",
    "score_experiment": "scored",
    "add_price": "added a price",
    "change_price": "changed the price",
    "remove_price": "removed the price",
    "drain_worker": "drained or resumed a worker",
    "order_queue": "changed the order of the queue",
    "make_share_link": "made a share link",
    "pause_share_link": "paused the share link",
    "resume_share_link": "resumed the share link",
    "revoke_share_link": "revoked the share link",
    "revoke_share_links": "revoked share links",
    "add_problem_set": "uploaded a problem set",
}
# They take a POST and change nothing that a team keeps.
NO_CHANGE = {"experiment-estimate", "estimate_experiment", "preview_extra_draw", "share-words"}


def phrase(action: str) -> str:
    return PHRASES.get(action, action)
