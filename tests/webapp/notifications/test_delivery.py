"""From the end of an experiment to a real server's receipt: signatures, retries, refusals, mail."""

from __future__ import annotations

import hashlib
import hmac
import json
import socket
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.core import mail
from django.utils import timezone

from jobs import leases, services, signals
from jobs.models import Experiment, Status, next_seq
from tests.webapp.notifications.receiver import Receiver, receiving
from webapp.accounts.models import Team, User
from webapp.notifications import delivery, events, sending
from webapp.notifications.models import Attempt, Delivery, Event, Mail, MailSetting, MailWhen, State, Webhook

Make = Callable[..., Experiment]


@pytest.fixture
def receiver(settings: Any) -> Iterator[Receiver]:
    settings.WEBHOOK_PRIVATE = True
    with receiving() as found:
        yield found


def hook(team: Team, receiver: Receiver, *chosen: str) -> Webhook:
    return Webhook.objects.create(team=team, url=receiver.url, events=list(chosen or Event.values))


def make_due() -> None:
    Delivery.objects.filter(state=State.WAITING).update(due_at=timezone.now())


def test_the_end_of_an_experiment_is_posted_and_signed(
    team: Team, alice: User, make_experiment: Make, receiver: Receiver, settings: Any
) -> None:
    settings.PUBLIC_URL = "https://canopy.example.org"
    webhook = hook(team, receiver)
    hook(team, receiver, Event.FAILED)  # does not want to hear of this one
    experiment = make_experiment(name="Baseline é", status=Status.RUNNING)
    services.cancel(experiment=experiment, by=alice)
    sent = Delivery.objects.get()
    assert delivery.deliver() and not delivery.deliver()
    [(path, headers, body)] = receiver.got
    told = json.loads(body)
    assert path == "/hook?room=lab"
    assert headers["Content-Type"] == "application/json"
    assert headers["Host"] == f"127.0.0.1:{receiver.port}"
    assert headers["X-Canopy-Event"] == told["event"] == "experiment.cancelled"
    assert headers["X-Canopy-Id"] == told["id"] == str(sent.code)
    # As a receiver would: by RFC 2104's definition, from the secret that was shown.
    key = webhook.secret.encode().ljust(64, b"\0") if len(webhook.secret) <= 64 else None
    key = key or hashlib.sha256(webhook.secret.encode()).digest().ljust(64, b"\0")
    message = headers["X-Canopy-Timestamp"].encode() + b"." + body
    inner = hashlib.sha256(bytes(byte ^ 0x36 for byte in key) + message).digest()
    outer = hashlib.sha256(bytes(byte ^ 0x5C for byte in key) + inner).hexdigest()
    assert headers["X-Canopy-Signature"] == f"sha256={outer}"
    assert abs(int(headers["X-Canopy-Timestamp"]) - timezone.now().timestamp()) < 60
    about = told["experiment"]
    assert (about["name"], about["status"], about["owner"]) == ("Baseline é", "cancelled", "Alice")
    assert about["url"] == f"https://canopy.example.org/experiments/{experiment.code}/"
    assert about["reason"] == "Cancelled by Alice."
    assert told["team"] == {"id": str(team.code), "name": "Marsh lab"}
    sent.refresh_from_db()
    assert sent.state == State.SENT
    [attempt] = sent.log.all()
    assert (attempt.status, attempt.text) == (200, "thank you")


def test_another_webhook_or_another_key_has_another_secret(team: Team, receiver: Receiver, settings: Any) -> None:
    one, other = hook(team, receiver), hook(team, receiver)
    kept = json.dumps(list(Webhook.objects.values()), default=str)
    before = one.secret
    assert before != other.secret and before.removeprefix("whsec_") not in kept
    settings.SECRET_KEY = "another"
    assert Webhook.objects.get(pk=one.pk).secret != before


def test_a_finished_experiment_is_told_with_its_last_summary(
    team: Team, make_experiment: Make, receiver: Receiver
) -> None:
    hook(team, receiver)
    experiment = make_experiment(status=Status.RUNNING, started_at=timezone.now(), n=4, c=1)
    for _ in range(2):  # the second time nothing changes
        leases.roll_up(experiment.pk, next_seq(experiment.pk))
    told = json.loads(Delivery.objects.get().body)
    experiment.refresh_from_db()
    assert told["event"] == "experiment.finished"
    assert experiment.summary and told["experiment"]["summary"] == experiment.summary


def test_a_receivers_mistake_does_not_lose_the_end(
    make_experiment: Make, alice: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(**_: Any) -> None:
        Delivery.objects.create(webhook_id=0, event="x", body="")
        raise RuntimeError("broken")

    signals.experiment_ended.connect(broken)
    try:
        experiment = make_experiment(status=Status.RUNNING)
        services.cancel(experiment=experiment, by=alice)
    finally:
        signals.experiment_ended.disconnect(broken)
    experiment.refresh_from_db()
    assert experiment.status == Status.CANCELLED and not Delivery.objects.exists()


def test_it_is_tried_again_with_growing_waits(team: Team, receiver: Receiver) -> None:
    receiver.statuses = [500, 200]
    receiver.text = "<b>oh</b>\r\n\0" + "x" * 5000
    made = events.queue_test(hook(team, receiver))
    assert delivery.deliver() and not delivery.deliver()  # not due yet
    made.refresh_from_db()
    wait = made.due_at - timezone.now()
    assert made.state == State.WAITING and timedelta(0) < wait <= delivery.WAITS[0]
    make_due()
    assert delivery.deliver()
    made.refresh_from_db()
    assert (made.state, made.attempts) == (State.SENT, 2)
    assert [attempt.status for attempt in made.log.all()] == [500, 200]
    kept = Attempt.objects.earliest("pk").text
    assert len(kept) == 200 and kept.startswith("<b>oh</b> xxx")
    ids = {headers["X-Canopy-Id"] for _, headers, _ in receiver.got}
    assert ids == {str(made.code)}  # the receiver can tell that it is the same


def test_it_is_given_up_at_last(team: Team, receiver: Receiver) -> None:
    receiver.statuses = [503]
    made = events.queue_test(hook(team, receiver))
    for _ in range(len(delivery.WAITS) + 1):
        make_due()
        assert delivery.deliver()
    make_due()
    assert not delivery.deliver()
    made.refresh_from_db()
    assert made.state == State.GIVEN_UP and made.log.count() == len(delivery.WAITS) + 1


def test_redirects_are_not_followed(team: Team, receiver: Receiver) -> None:
    receiver.statuses = [302]
    made = events.queue_test(hook(team, receiver))
    delivery.deliver()
    assert len(receiver.got) == 1
    [attempt] = made.log.all()
    assert attempt.status == 302 and "not followed" in attempt.text


def test_what_another_process_claimed_is_left_alone(team: Team, receiver: Receiver) -> None:
    made = events.queue_test(hook(team, receiver))
    assert delivery._claim(made) and not delivery._claim(made)  # the second one saw it as it was before
    assert not delivery.deliver() and receiver.got == []
    make_due()  # the other one was killed: its time is over
    assert delivery.deliver() and len(receiver.got) == 1


def test_a_webhook_gets_one_at_a_time_and_keeps_a_short_log(
    team: Team, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delivery, "KEPT_DELIVERIES", 2)
    busy, quiet = hook(team, receiver), hook(team, receiver)
    for _ in range(4):
        events.queue_test(busy)
    last = events.queue_test(quiet)
    delivery.deliver()
    assert {headers["X-Canopy-Id"] for _, headers, _ in receiver.got} >= {str(last.code)} and len(receiver.got) == 2
    while delivery.deliver():
        pass
    assert len(receiver.got) == 5 and busy.deliveries.count() == 2 and quiet.deliveries.count() == 1


# --- addresses --------------------------------------------------------------------------------------------------------


@pytest.mark.django_db
def test_private_addresses_are_refused_unless_allowed(team: Team, receiver: Receiver, settings: Any) -> None:
    settings.WEBHOOK_PRIVATE = False
    for url in (receiver.url, receiver.url.replace("127.0.0.1", "localhost"), receiver.url.replace("127.0.0.1", "0")):
        made = events.queue_test(Webhook.objects.create(team=team, url=url))
        delivery.deliver()
        [attempt] = made.log.all()
        assert attempt.status is None and "private" in attempt.text
    assert receiver.got == []


INSIDE = """10.1.2.3 169.254.169.254 100.64.0.1 0.0.0.0 224.0.0.1
    ::1 fe80::1 fd00::1 ::ffff:127.0.0.1 64:ff9b::7f00:1 2002:7f00:1::"""


@pytest.mark.parametrize("address", INSIDE.split())
def test_a_name_may_not_lead_inside(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the text of the address is: also as one of several addresses of a name."""

    def lookup(*_: Any, **__: Any) -> list[Any]:
        return [(0, 0, 0, "", (each, 443)) for each in ("93.184.215.14", address)]

    monkeypatch.setattr(socket, "getaddrinfo", lookup)
    monkeypatch.setattr(socket, "create_connection", lambda *_: pytest.fail("connected"))
    answer = sending.post("https://hook.example.org/", b"{}", {})
    assert answer.status is None and "private" in answer.text


def test_the_connection_goes_to_the_address_that_was_checked(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def lookup(host: str, port: int, **_: Any) -> list[Any]:
        asked.append(host)
        return [(0, 0, 0, "", ("127.0.0.1", port))]

    plain = socket.create_connection
    reached = []

    def connect(address: tuple[str, int], timeout: float) -> socket.socket:
        reached.append(address)
        monkeypatch.undo()  # the name would be looked up for real from here on, and fail
        return plain(address, timeout)

    monkeypatch.setattr(socket, "getaddrinfo", lookup)
    monkeypatch.setattr(socket, "create_connection", connect)
    answer = sending.post(f"http://hook.invalid:{receiver.port}/", b"{}", {})
    assert (answer.status, asked, reached) == (200, ["hook.invalid"], [("127.0.0.1", receiver.port)])
    assert receiver.got[0][1]["Host"] == f"hook.invalid:{receiver.port}"


@pytest.mark.parametrize(
    "url",
    [
        "", "ftp://example.org/", "https:///x", "https://a b/", "https://x.org/\r\nX: y", "https://u:p@x.org/",
        "https://x.org:99999/", "https://x.org:0/", "https://[::1", "https://10.0.0.1/", "http://localhost/",
        "https://x.org/" + "a" * 500, "file:///etc/passwd", "https://ex\u00e4mple.org/",
    ],
)  # fmt: skip
def test_addresses_that_are_refused_as_they_are_written(url: str) -> None:
    with pytest.raises(sending.Refused, match=r"\.$"):
        sending.check_url(url)


def test_a_server_that_is_away_or_never_ends_is_an_answer(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        monkeypatch.setattr(sending, "MOST_SECONDS", 0.2)
        assert sending.post(f"http://127.0.0.1:{port}/", b"{}", {}).status is None  # it accepts and says nothing
        assert sending.post(f"https://127.0.0.1:{port}/", b"{}", {}).status is None  # nor during a handshake
    assert sending.post(f"http://127.0.0.1:{port}/", b"{}", {}).status is None  # nobody listens any more
    assert sending.post(f"https://127.0.0.1:{receiver.port}/", b"{}", {}).status is None  # no TLS there


# --- mail -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("when", "status", "mailed"),
    [
        (None, Status.FAILED, False),
        (MailWhen.OFF, Status.FAILED, False),
        (MailWhen.FAILURES, Status.FAILED, True),
        (MailWhen.FAILURES, Status.FINISHED, False),
        (MailWhen.ALL, Status.FINISHED, True),
        (MailWhen.ALL, Status.CANCELLED, True),
    ],
)
def test_the_owner_is_written_to_as_chosen(
    when: str | None, status: Status, mailed: bool, make_experiment: Make, bob: User
) -> None:
    if when:
        MailSetting.objects.create(user=bob, when=when)
    experiment = make_experiment(owner=bob, name="Two\nlines", status=status, reason="Out of memory.")
    signals.tell_ended(experiment.pk)
    assert delivery.deliver() == mailed and not Mail.objects.exists()
    assert len(mail.outbox) == mailed
    if mailed:
        [message] = mail.outbox
        assert message.to == ["bob@example.org"] and message.subject.startswith("Two lines ")
        assert f"/experiments/{experiment.code}/" in message.body and "/account/" in message.body
        assert ("Out of memory." in message.body) == (status != Status.FINISHED)


def test_who_left_the_team_is_not_written_to(make_experiment: Make, team: Team, bob: User) -> None:
    MailSetting.objects.create(user=bob, when=MailWhen.ALL)
    team.memberships.filter(user=bob).delete()
    signals.tell_ended(make_experiment(owner=bob, status=Status.FAILED).pk)
    assert not Mail.objects.exists()


def test_mail_waits_for_a_server_that_is_away(
    make_experiment: Make, bob: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_: Any) -> None:
        raise ConnectionRefusedError("no server")

    MailSetting.objects.create(user=bob, when=MailWhen.ALL)
    signals.tell_ended(make_experiment(owner=bob, status=Status.FAILED).pk)
    with monkeypatch.context() as patch:
        patch.setattr(delivery, "send_mail", away)
        for _ in range(2):
            Mail.objects.update(due_at=timezone.now())
            assert delivery.deliver()
    assert Mail.objects.get().attempts == 2
    Mail.objects.update(due_at=timezone.now())
    assert delivery.deliver() and len(mail.outbox) == 1 and not Mail.objects.exists()


def test_signing_agrees_with_the_standard_library() -> None:
    expected = hmac.digest(b"key", b"12.body", "sha256").hex()
    assert sending.sign("key", "12", b"body") == expected
