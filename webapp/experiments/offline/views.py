"""The offline copy: its size first, then the zip."""

from __future__ import annotations

from django.http import Http404, HttpRequest, HttpResponseBase, JsonResponse
from django.utils.text import slugify
from django.views.decorators.http import require_safe

from webapp.experiments.downloads import attachment
from webapp.experiments.offline.archive import offline_members, unpacked_size, zip_stream
from webapp.experiments.page import Page


@require_safe
def offline_size(request: HttpRequest, page: Page) -> HttpResponseBase:
    """{"bytes", "bytes_with_samples" (null where samples are not given)}, both unpacked and about right."""
    _require_whole(page)
    small = unpacked_size(page, with_samples=False)
    large = unpacked_size(page, with_samples=True) if page.shows_samples else None
    return JsonResponse({"bytes": small, "bytes_with_samples": large}, headers={"Cache-Control": "private, no-cache"})


@require_safe
def offline_copy(request: HttpRequest, page: Page) -> HttpResponseBase:
    """The zip; ``?samples=1`` with the texts of samples, where the visitor may see them."""
    _require_whole(page)
    return zip_of(page, with_samples=page.shows_samples and request.GET.get("samples") == "1")


def zip_of(page: Page, *, with_samples: bool) -> HttpResponseBase:
    redactor = page.visit.redactor if page.visit else None
    name = redactor.text(page.experiment.name) if redactor else page.experiment.name
    folder = slugify(name)[:60] or "experiment"
    members = offline_members(page, with_samples=with_samples)
    response = attachment(zip_stream(members, folder), "application/zip", f"{folder}.zip")
    response.is_clean = True  # type: ignore[attr-defined]  # its members were, one by one (webapp.sharing.anonymity)
    return response


def _require_whole(page: Page) -> None:
    """A link to one chart has no copy of the experiment."""
    if page.only:
        raise Http404("No such file.")
