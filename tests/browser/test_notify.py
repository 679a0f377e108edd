"""The bell: a notification of the browser when an experiment ends in the background."""

from __future__ import annotations

from collections.abc import Callable

from playwright.sync_api import expect

from jobs.live import announce
from jobs.models import Experiment, Status
from tests.browser.conftest import OpenContext
from tests.browser.test_live_page import check
from webapp.accounts.models import User

# A headless browser shows no notification: this one only remembers what it was asked to show.
REMEMBER = """
window.Notification = class extends EventTarget {
  static permission = "default";
  static async requestPermission() { Notification.permission = "granted"; return "granted"; }
  constructor(title, options) { super(); document.documentElement.dataset.told = `${title}. ${options.body}`; }
};
"""


def test_the_end_is_told_in_the_background_alone(
    make_experiment: Callable[..., Experiment], alice: User, new_context: OpenContext
) -> None:
    experiment = make_experiment(name="Long run", status=Status.RUNNING, n=2, c=1)
    context = new_context(alice)
    context.add_init_script(REMEMBER)
    page = context.new_page()
    page.goto(f"/experiments/{experiment.code}/", wait_until="networkidle")
    bell = page.locator("[data-notify]")
    expect(bell).to_have_attribute("aria-pressed", "false")
    bell.click()
    expect(bell).to_have_attribute("aria-label", "You are told when it ends")
    check(page)
    page.evaluate("Object.defineProperty(document, 'hidden', { get: () => true })")
    Experiment.objects.filter(pk=experiment.pk).update(status=Status.FINISHED, last_seq=9)
    announce(experiment.pk)
    told = page.locator("html")
    expect(told).to_have_attribute("data-told", "Long run has finished. Its page has the results.")
    page.reload(wait_until="networkidle")
    announce(experiment.pk)
    page.wait_for_timeout(500)
    expect(told).not_to_have_attribute("data-told", "Long run has finished. Its page has the results.")
