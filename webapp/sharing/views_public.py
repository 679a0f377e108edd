"""What whoever holds a link sees: its target's page, alone or in a frame of another site."""

from __future__ import annotations

from django.http import Http404, HttpRequest, HttpResponseBase
from django.views.decorators.http import require_safe

from webapp.sharing.access import Visit, opens
from webapp.sharing.targets import target_of


@opens()
@require_safe
def shared(request: HttpRequest, visit: Visit) -> HttpResponseBase:
    """/s/<token>/"""
    return _page(request, visit)


@opens(embedded=True)
@require_safe
def embedded(request: HttpRequest, visit: Visit) -> HttpResponseBase:
    """/e/<token>: the same page without its frame, for an iframe on the sites that the link names. Every other site's
    browser refuses it; where none is named there is nothing."""
    if not visit.link.embed_hosts:
        raise Http404("this link is not for frames")
    response = _page(request, visit)
    response._csp_replace = {"frame-ancestors": visit.link.embed_hosts}  # type: ignore[attr-defined]  # csp.middleware
    response.xframe_options_exempt = True  # type: ignore[attr-defined]  # the older header knows one site or none
    return response


def _page(request: HttpRequest, visit: Visit) -> HttpResponseBase:
    target = target_of(visit.link)
    if target is None:  # webapp.sharing.access.find_link refused it already
        raise Http404("no such target")
    return target.page(request, visit)
