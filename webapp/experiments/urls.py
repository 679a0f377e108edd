"""Addresses of experiments. The experiment's own pages, and what a share link shows of it, are in live_urls."""

from __future__ import annotations

from django.urls import include, path

from webapp.experiments import views_actions, views_compare, views_list, views_new, views_queue
from webapp.experiments.detection import views_sets, views_try
from webapp.experiments.sampling import views_draw, views_import
from webapp.experiments.scenes import views_make
from webapp.experiments.scenes import views_sets as scene_sets

urlpatterns = [
    path("", views_list.home, name="home"),
    path("teams/<uuid:team>/experiments/", views_list.experiments, name="experiments"),
    path("teams/<uuid:team>/search.json", views_list.search, name="experiment-search"),
    path("teams/<uuid:team>/compare/", views_compare.compare, name="compare"),
    path("teams/<uuid:team>/workers/", views_list.workers, name="workers"),
    path("teams/<uuid:team>/workers/<str:worker>/drain/", views_queue.drain, name="worker-drain"),
    path("teams/<uuid:team>/queue/", views_queue.queue, name="queue"),
    path("teams/<uuid:team>/queue/order/", views_queue.reorder, name="queue-order"),
    path("teams/<uuid:team>/new/<slug:kind>/", views_new.new, name="experiment-new"),
    path("teams/<uuid:team>/new/<slug:kind>/estimate/", views_new.estimate, name="experiment-estimate"),
    path("teams/<uuid:team>/import/", views_import.import_results, name="experiment-import"),
    path("teams/<uuid:team>/problem-sets/", views_new.problem_set_upload, name="problem-set-upload"),
    path("teams/<uuid:team>/data-sets/", views_sets.data_sets, name="data-sets"),
    path("teams/<uuid:team>/data-sets/add/", views_sets.data_set_add, name="data-set-add"),
    path("data-sets/<uuid:code>/", views_sets.data_set, name="data-set"),
    path("data-sets/<uuid:code>/delete/", views_sets.data_set_delete, name="data-set-delete"),
    path("teams/<uuid:team>/scene-sets/", scene_sets.scene_sets, name="scene-sets"),
    path("teams/<uuid:team>/scene-sets/add/", scene_sets.scene_set_add, name="scene-set-add"),
    path("scene-sets/<uuid:code>/", scene_sets.scene_set, name="scene-set"),
    path("scene-sets/<uuid:code>/cameras/<str:key>.json", scene_sets.scene_set_cameras, name="scene-set-cameras"),
    path("scene-sets/<uuid:code>/pictures/<str:key>.jpg", scene_sets.scene_set_picture, name="scene-set-picture"),
    path("scene-sets/<uuid:code>/delete/", scene_sets.scene_set_delete, name="scene-set-delete"),
    path("experiments/<uuid:code>/cancel/", views_actions.cancel, name="experiment-cancel"),
    path("experiments/<uuid:code>/retry/", views_actions.retry, name="experiment-retry"),
    path("experiments/<uuid:code>/more/", views_actions.more, name="experiment-more"),
    path("experiments/<uuid:code>/draw/", views_draw.draw, name="experiment-draw"),
    path("experiments/<uuid:code>/draw/start/", views_draw.start, name="experiment-draw-start"),
    path("experiments/<uuid:code>/regrade/", views_actions.regrade, name="experiment-regrade"),
    path("experiments/<uuid:code>/score/", views_actions.score, name="experiment-score"),
    path("experiments/<uuid:code>/rename/", views_actions.rename, name="experiment-rename"),
    path("experiments/<uuid:code>/priority/", views_actions.priority, name="experiment-priority"),
    path("experiments/<uuid:code>/pictures/", views_try.try_picture, name="experiment-try"),
    path("experiments/<uuid:code>/scenes/make/", views_make.make, name="experiment-make"),
    path("experiments/<uuid:code>/delete/", views_actions.delete, name="experiment-delete"),
    path("", include("webapp.experiments.live_urls")),
]
