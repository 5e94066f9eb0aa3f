"""What goes out by e-mail: to whom, when, in how many letters; and what a mail server can do to it."""

import contextlib
import socket
import threading
from datetime import UTC, date, datetime, timedelta
from email import message_from_bytes, policy

import pytest

from jobs.models import Membership, Role, Status
from reviews import mailing, preferences
from reviews.actions import Ask, decide
from reviews.models import (
    DigestTime,
    How,
    Letter,
    LetterEnd,
    LetterKind,
    Notice,
    NoticeKind,
    Ruling,
)
from tests.factories import (
    NOW,
    JobFactory,
    UserFactory,
    WorkspaceFactory,
    approve,
    finish,
    start,
)
from tests.told import choose, post, queued, send, tell

pytestmark = pytest.mark.django_db

LATER = NOW + timedelta(minutes=11)


@pytest.fixture
def here(settings):
    settings.SITE_URL = "https://jobs.example.com"
    return WorkspaceFactory(name="Quality")


@pytest.fixture
def lead(here):
    """Hears of reviews by e-mail."""
    person = UserFactory(username="lena", workspace=here, roles=[Role.LEAD])
    choose(person, NoticeKind.NEEDS_REVIEW, How.AT_ONCE)
    return person


def waiting(here, **more):
    return JobFactory(workspace=here, status=Status.NEEDS_REVIEW, **more)


def parts(message):
    [(html, _kind)] = message.alternatives
    return message.body, html


# What it says


def test_a_letter_says_what_why_by_when_and_leads_there(here, lead, mailoutbox):
    job = waiting(here)
    post(NOW)
    [message] = mailoutbox
    assert message.to == ["lena@example.com"]
    assert message.subject == f"[Jobsite] {job.ref} needs your review: tides"
    for body in parts(message):
        assert f"https://jobs.example.com/jobs/{job.ref}/review/" in body
        assert "https://jobs.example.com/notices/preferences/" in body
        assert "5 March 2026, 09:00 UTC" in body
        assert "Every result of this type is reviewed" in body or "review" in body
    assert message.extra_headers["List-Unsubscribe"] == (
        "<https://jobs.example.com/notices/preferences/>"
    )
    assert message.extra_headers["Auto-Submitted"] == "auto-generated"


def test_no_word_of_a_result_or_of_what_a_reviewer_wrote_about_it_leaves(here, mailoutbox):
    requester = UserFactory(workspace=here, roles=[Role.REQUESTER])
    lead = UserFactory(workspace=here, roles=[Role.LEAD])
    choose(lead, NoticeKind.NEEDS_REVIEW, How.AT_ONCE)
    job = waiting(here, requester=requester)
    text = job.open_gate.result.text
    assert text
    post(NOW)
    decide(job.pk, Ask(Ruling.REJECT, lead, LATER, note="It says the dam will break."))
    post(LATER)
    assert [message.to for message in mailoutbox] == [[lead.email], [requester.email]]
    assert mailoutbox[1].subject == f"[Jobsite] {job.ref} was rejected: tides"
    for message in mailoutbox:
        for body in parts(message):
            assert text not in body
            assert "dam" not in body


@pytest.mark.parametrize(
    "topic",
    [
        "Bill\r\nBcc: everybody@example.com\r\n\r\nHello",
        "</a><script>alert(1)</script><a href='https://evil.example/'>",
        "Pay at https://evil.example/now or www.evil.example, mail me@evil.example",
        "\u202eexe.tropper\u202c {{ settings.SECRET_KEY }} {% now 'Y' %}",
    ],
)
def test_a_hostile_title_is_neither_a_header_nor_a_link_nor_markup(here, lead, mailoutbox, topic):
    waiting(here, input={"topic": topic})
    post(NOW)
    [message] = mailoutbox
    sent = message_from_bytes(message.message().as_bytes(), policy=policy.default)
    assert sent["Bcc"] is None
    assert len(sent.get_all("Subject")) == 1
    text, html = parts(message)
    assert "evil.example" not in text + html + message.subject
    assert "<script" not in html
    assert "\u202e" not in text + html + message.subject


# To whom, and in how many


@pytest.mark.parametrize(
    ("how", "soon", "in_digest", "in_app"),
    [
        (How.AT_ONCE, 1, 0, 1),
        (How.DIGEST, 0, 1, 1),
        (How.APP, 0, 0, 1),
        (How.OFF, 0, 0, 0),
    ],
)
@pytest.mark.parametrize("kind", [NoticeKind.NEEDS_REVIEW, NoticeKind.FINISHED, NoticeKind.FAILED])
def test_everybody_hears_in_the_way_they_chose(
    here, mailoutbox, kind, how, soon, in_digest, in_app
):
    reviewer = UserFactory(workspace=here, roles=[Role.REVIEWER])
    requester = UserFactory(workspace=here, roles=[Role.REQUESTER])
    person = reviewer if kind is NoticeKind.NEEDS_REVIEW else requester
    choose(person, kind, how)
    if kind is NoticeKind.FAILED:
        JobFactory(workspace=here, requester=requester, status=Status.FAILED)
    elif kind is NoticeKind.FINISHED:
        JobFactory(workspace=here, requester=requester, status=Status.COMPLETED)
    else:
        waiting(here, requester=requester)
    post(NOW)
    assert Notice.objects.filter(person=person).count() == in_app
    assert len([one for one in mailoutbox if one.to == [person.email]]) == soon
    mailoutbox.clear()
    send(NOW + timedelta(days=1))
    assert len([one for one in mailoutbox if one.to == [person.email]]) == in_digest


def test_many_reviews_at_once_are_one_letter(here, lead, mailoutbox):
    for _job in range(7):
        waiting(here)
    tell(NOW)
    send(NOW + timedelta(minutes=9))
    assert mailoutbox == []
    send(NOW + timedelta(minutes=10))
    [message] = mailoutbox
    assert message.subject == "[Jobsite] 7 notices, 7 for you to decide"
    assert message.body.count("/review/") == 7


def test_what_names_a_person_does_not_wait_long_and_takes_the_rest_along(here, lead, mailoutbox):
    waiting(here)
    tell(NOW)
    mine = UserFactory(workspace=here, roles=[Role.REVIEWER])
    escalated = waiting(here)
    decide(escalated.pk, Ask(Ruling.ESCALATE, mine, NOW, note="You."))
    tell(NOW)
    send(NOW + mailing.AT_ONCE)
    [message] = mailoutbox
    assert message.body.count("/review/") == 2


def test_a_long_letter_says_how_many_more_there_are(here, lead, mailoutbox, monkeypatch):
    monkeypatch.setattr(mailing, "MOST_IN_LETTER", 3)
    for _job in range(5):
        waiting(here)
    post(NOW)
    [message] = mailoutbox
    assert message.body.count("/review/") == 3
    assert "And 2 more: https://jobs.example.com/notices/" in message.body
    assert "5 notices" in message.subject


def test_what_is_theirs_no_more_keeps_nothing_out_of_a_letter(here, lead, mailoutbox, monkeypatch):
    monkeypatch.setattr(mailing, "MOST_IN_LETTER", 1)
    jobs = [waiting(here) for _job in range(6)]
    real = mailing.still_concerned
    monkeypatch.setattr(mailing, "still_concerned", lambda row: row.job == jobs[-1] and real(row))
    post(NOW)
    [message] = mailoutbox
    assert message.body.count("/review/") == 1 and jobs[-1].ref in message.body


def test_whoever_had_enough_for_an_hour_gets_the_rest_in_one(here, mailoutbox, monkeypatch):
    monkeypatch.setattr(mailing, "MOST_AN_HOUR", 2)
    requester = UserFactory(workspace=here, roles=[Role.REQUESTER])
    for minute in range(5):
        now = NOW + timedelta(minutes=minute)
        JobFactory(workspace=here, requester=requester, status=Status.COMPLETED, now=now)
        tell(now)
        send(now + mailing.AT_ONCE)
    assert len(mailoutbox) == 2
    send(NOW + timedelta(minutes=62))
    assert len(mailoutbox) == 3
    assert mailoutbox[2].subject == "[Jobsite] 3 notices"


def test_without_an_address_there_is_no_letter(here, mailoutbox):
    lead = UserFactory(workspace=here, roles=[Role.LEAD], email="")
    choose(lead, NoticeKind.NEEDS_REVIEW, How.AT_ONCE)
    waiting(here)
    post(NOW)
    assert mailoutbox == []
    assert Notice.objects.get(person=lead).letter is None
    assert not Letter.objects.filter(person=lead).exists()


def test_a_refused_account_is_mailed_by_its_own_alert_alone(here, mailoutbox):
    operator = UserFactory(workspace=here, roles=[Role.OPERATOR])
    job = JobFactory(workspace=here)
    start(job)
    finish(job, "failed", error={"code": "insufficient_quota", "message": "No."})
    post(NOW)
    assert Notice.objects.get(person=operator).kind == NoticeKind.TROUBLE
    assert [one for one in mailoutbox if one.to == [operator.email]] == []


# What no longer matters when it is sent


def read(lead, job):
    Notice.objects.filter(person=lead).update(read_at=NOW)


def decided(lead, job):
    approve(job)


def lost_role(lead, job):
    Membership.objects.filter(user=lead).update(role=Role.AUDITOR)


def left(lead, job):
    Membership.objects.filter(user=lead).delete()


def deactivated(lead, job):
    type(lead).objects.filter(pk=lead.pk).update(is_active=False)


def changed_their_mind(lead, job):
    lead.notice_choices.update(how=How.APP)


@pytest.mark.parametrize(
    "meanwhile", [read, decided, lost_role, left, deactivated, changed_their_mind]
)
def test_what_no_longer_matters_is_not_sent(here, lead, mailoutbox, meanwhile):
    job = waiting(here)
    tell(NOW)
    meanwhile(lead, job)
    send(LATER)
    assert [one for one in mailoutbox if one.to == [lead.email]] == []
    assert Letter.objects.get(person=lead).outcome == LetterEnd.EMPTY


# The digest


def test_a_digest_comes_once_a_day_at_ones_own_hour(here, mailoutbox):
    reviewer = UserFactory(workspace=here, roles=[Role.REVIEWER])
    DigestTime.objects.create(person=reviewer, hour=7, zone="Asia/Tokyo")
    first, second = waiting(here), waiting(here)
    tell(NOW)
    due = datetime(2026, 3, 2, 22, tzinfo=UTC)  # seven in the morning of the third, in Tokyo
    send(due - timedelta(seconds=1))
    assert mailoutbox == []
    send(due)
    [message] = mailoutbox
    assert message.subject == "[Jobsite] Daily digest: 2 notices"
    assert first.ref in message.body and second.ref in message.body
    third = waiting(here, now=due)
    tell(due)
    send(due + timedelta(hours=23))
    assert len(mailoutbox) == 1, "one a day"
    send(due + timedelta(days=1))
    assert len(mailoutbox) == 2
    assert third.ref in mailoutbox[1].body and first.ref not in mailoutbox[1].body


def test_a_digest_with_nothing_to_say_is_not_sent(here, mailoutbox):
    UserFactory(workspace=here, roles=[Role.REVIEWER])
    approve(waiting(here))
    job = waiting(here)
    tell(NOW)
    approve(job)
    send(NOW + timedelta(days=1))
    assert [one for one in mailoutbox if "Daily digest" in one.subject] == []


def test_moving_the_hour_moves_the_digest_that_waits_and_never_makes_a_second_one(here, mailoutbox):
    reviewer = UserFactory(workspace=here, roles=[Role.REVIEWER])
    waiting(here)
    tell(NOW)  # at nine: the digest is tomorrow's
    preferences.save(reviewer, {}, hour=11, zone="", now=NOW)
    assert Letter.objects.get(person=reviewer).day == date(2026, 3, 2)
    send(NOW.replace(hour=11))
    assert len(mailoutbox) == 1
    waiting(here)
    tell(NOW.replace(hour=12))
    preferences.save(reviewer, {}, hour=15, zone="", now=NOW.replace(hour=12))
    send(NOW.replace(hour=15))
    assert len(mailoutbox) == 1
    assert Letter.objects.get(person=reviewer, sealed_at=None).day == date(2026, 3, 3)


@pytest.mark.parametrize("zone", ["Europe/Berlin", "America/New_York", "Pacific/Auckland"])
def test_every_day_of_a_year_has_one_digest_whatever_the_clocks_do(zone):
    now, taken = datetime(2026, 1, 1, tzinfo=UTC), set()
    for hour in (2, 23):
        for _day in range(366):
            day, due = preferences.next_digest(now, hour, zone, taken)
            assert due > now and day not in taken
            assert due - now < timedelta(hours=50)
            taken.add(day)
            now = due
        assert len(taken) >= 366


# Whatever dies


def test_a_letter_whose_sender_died_before_it_was_sent_is_sent(here, lead, mailoutbox):
    waiting(here)
    tell(NOW)
    [letter] = Letter.objects.filter(person=lead)
    held = mailing._claim(letter.pk, now=LATER)
    assert mailing._sealed(held, now=LATER)
    send(LATER + timedelta(seconds=74))
    assert mailoutbox == [], "it is held"
    send(LATER + mailing.LEASE)
    assert len(mailoutbox) == 1


def test_a_letter_whose_sender_died_before_it_was_written_down_comes_again_under_its_id(
    here, lead, mailoutbox, monkeypatch
):
    waiting(here)
    tell(NOW)

    def dies(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr(mailing, "_end", dies)
    with pytest.raises(KeyboardInterrupt):
        send(LATER)
    monkeypatch.undo()
    send(LATER + mailing.LEASE)
    ids = [message.message()["Message-ID"] for message in mailoutbox]
    assert len(ids) == 2
    assert len(set(ids)) == 1
    assert ids[0].endswith("@jobs.example.com>")
    assert len({message.message()["Date"] for message in mailoutbox}) == 1


def test_a_letter_that_kills_its_senders_is_given_up(here, lead):
    waiting(here)
    tell(NOW)
    [letter] = Letter.objects.filter(person=lead)
    now = LATER
    for _death in range(mailing.MOST_STRIKES):
        assert mailing._claim(letter.pk, now=now)
        now += mailing.LEASE
    assert mailing._claim(letter.pk, now=now) is None
    letter.refresh_from_db()
    assert letter.outcome == LetterEnd.GIVEN_UP


def test_two_senders_send_a_letter_once(here, lead, mailoutbox):
    waiting(here)
    tell(NOW)
    [letter] = Letter.objects.filter(person=lead)
    assert mailing._claim(letter.pk, now=LATER)
    mailing.send([letter.pk], clock=lambda: LATER)
    assert mailoutbox == []


def test_what_happens_after_a_letter_was_sealed_goes_into_the_next(here, lead, mailoutbox):
    waiting(here)
    tell(NOW)
    [letter] = Letter.objects.filter(person=lead)
    assert mailing._sealed(mailing._claim(letter.pk, now=LATER), now=LATER)
    second = waiting(here, now=LATER)
    tell(LATER)
    assert second.notices.get(person=lead).letter_id != letter.pk


# What a mail server can do


class Server:
    """Speaks enough SMTP for one letter after the other. `refuse` is what it answers to RCPT."""

    def __init__(self, refuse="", silent=False):
        self.refuse, self.silent = refuse, silent
        self.received, self.connections = [], 0
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]
        self.thread = threading.Thread(target=self._serve, daemon=True)
        self.thread.start()

    def _serve(self):
        while True:
            try:
                peer, _address = self.socket.accept()
            except OSError:
                return
            self.connections += 1
            threading.Thread(target=self._talk, args=(peer,), daemon=True).start()

    def _talk(self, peer):
        with peer, peer.makefile("rb") as lines:
            if self.silent:
                lines.read()
                return
            say = lambda text: peer.sendall(f"{text}\r\n".encode())  # noqa: E731
            say("220 here")
            for line in lines:
                word = line[:4].upper().strip()
                if word == b"DATA":
                    say("354 go on")
                    body = b""
                    while (more := lines.readline()) != b".\r\n":
                        body += more
                    self.received.append(message_from_bytes(body, policy=policy.default))
                    say("250 kept")
                elif word == b"RCPT" and self.refuse:
                    say(self.refuse)
                elif word == b"QUIT":
                    say("221 bye")
                    return
                else:
                    say("250 yes")

    def close(self):
        with contextlib.suppress(OSError):
            self.socket.shutdown(socket.SHUT_RDWR)
        self.socket.close()


@pytest.fixture
def smtp(settings):
    """`smtp(refuse="550 no")` is a mail server that letters go to."""
    servers = []

    def serve(**how):
        server = Server(**how)
        servers.append(server)
        settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
        settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", server.port
        settings.EMAIL_TIMEOUT = 0.3
        return server

    yield serve
    for server in servers:
        server.close()


def test_letters_go_out_over_one_real_connection(here, lead, smtp):
    server = smtp()
    other = UserFactory(workspace=here, roles=[Role.LEAD])
    choose(other, NoticeKind.NEEDS_REVIEW, How.AT_ONCE)
    job = waiting(here)
    post(NOW)
    assert [message["To"] for message in server.received] == [lead.email, other.email]
    assert server.connections == 1
    text = server.received[0].get_body(("plain",)).get_content()
    assert f"https://jobs.example.com/jobs/{job.ref}/review/" in text
    assert server.received[0]["Message-ID"] != server.received[1]["Message-ID"]


def test_a_server_that_hangs_is_met_once_and_the_letters_wait(here, lead, smtp):
    server = smtp(silent=True)
    for _person in range(3):
        other = UserFactory(workspace=here, roles=[Role.LEAD])
        choose(other, NoticeKind.NEEDS_REVIEW, How.AT_ONCE)
    waiting(here)
    post(NOW)
    assert server.connections == 1
    rows = Letter.objects.filter(ended_at=None, kind=LetterKind.SOON)
    assert rows.count() == 4
    assert min(rows.values_list("next_check_at", flat=True)) == LATER + mailing.PAUSE
    working = smtp()
    send(LATER + mailing.PAUSE)
    assert len(working.received) == 4


def test_an_address_that_is_refused_holds_up_nobody_and_is_given_up(here, lead, smtp):
    smtp(refuse="550 nobody here")
    waiting(here)
    tell(NOW)
    now = LATER
    for _try in range(mailing.MOST_REFUSALS):
        send(now)
        now += timedelta(hours=1)
    letter = Letter.objects.get(person=lead)
    assert letter.outcome == LetterEnd.GIVEN_UP
    assert "nobody here" in letter.problem


def test_a_server_that_stays_away_is_tried_for_hours_ever_more_rarely(here, lead, settings, smtp):
    smtp().close()
    waiting(here)
    tell(NOW)
    now, tries = LATER, 0
    while not (letter := Letter.objects.get(person=lead)).ended_at:
        now = max(now, letter.next_check_at)
        send(now)
        tries += 1
    assert letter.outcome == LetterEnd.GIVEN_UP
    assert timedelta(hours=12) < now - LATER < timedelta(hours=14)
    assert tries < 25


def test_a_letter_that_cannot_be_written_holds_up_nobody(here, lead, mailoutbox, monkeypatch):
    other = UserFactory(workspace=here, roles=[Role.LEAD])
    choose(other, NoticeKind.NEEDS_REVIEW, How.AT_ONCE)
    waiting(here)
    whole = mailing.compose

    def breaks(letter, *rest):
        if letter.person == lead:
            raise ValueError("a template is broken")
        return whole(letter, *rest)

    monkeypatch.setattr(mailing, "compose", breaks)
    post(NOW)
    assert [message.to for message in mailoutbox] == [[other.email]]
    assert Letter.objects.get(person=lead).failures == 1


def test_letters_are_handed_to_the_queue_once_and_not_while_some_are_being_sent(here, lead):
    waiting(here)
    tell(NOW)
    mailing.hand_out(NOW)
    assert queued() == []
    mailing.hand_out(LATER)
    mailing.hand_out(LATER)
    assert queued() == [mailing.SEND]
    [letter] = Letter.objects.filter(person=lead)
    now = LATER + mailing.NUDGE_AGAIN
    mailing._claim(letter.pk, now=now)
    other = UserFactory(workspace=here, roles=[Role.LEAD])
    Letter.objects.create(person=other, kind=LetterKind.SOON, created_at=now, next_check_at=now)
    mailing.hand_out(now)
    assert queued() == [mailing.SEND]
    mailing.hand_out(now + mailing.LEASE)
    assert queued() == [mailing.SEND] * 2
