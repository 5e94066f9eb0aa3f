"""Logging in, getting a password back, and the second step, through the pages that people use."""

import base64
import hmac
import re
import struct
import threading
import time

import pytest
import time_machine
from allauth.mfa.models import Authenticator
from django.core import mail
from django.core.cache import cache
from django.core.mail.backends.locmem import EmailBackend
from django.db import connection
from django.test import Client
from django.urls import NoReverseMatch, get_resolver, reverse
from django_q.models import Schedule

from jobsite.accounts import MAIL_THREAD, AccountAdapter
from tests.factories import NOW, UserFactory

PASSWORD = "correct horse battery"
NEW = "staple under the bridge"


@pytest.fixture
def ann(db):
    return person("ann", email="Ann@Example.com")


def person(username, **fields):
    user = UserFactory(username=username, **fields)
    user.set_password(PASSWORD)
    user.save()
    return user


def log_in(client, login="ann", password=PASSWORD, **extra):
    return client.post("/accounts/login/", {"login": login, "password": password}, **extra)


def is_logged_in(client):
    return "_auth_user_id" in client.session


def sent():
    """The mails so far: they are sent beside the request."""
    for thread in threading.enumerate():
        if thread.name == MAIL_THREAD:
            thread.join(10)
    return mail.outbox


def code_for(secret, at=None):
    """RFC 6238: six digits of a 30-second step, HMAC-SHA1."""
    step = struct.pack(">Q", int(time.time() if at is None else at) // 30)
    digest = hmac.new(base64.b32decode(secret), step, "sha1").digest()
    start = digest[-1] & 15
    number = int.from_bytes(digest[start : start + 4]) & 0x7FFFFFFF
    return f"{number % 10**6:06}"


# Logging in and out ----------------------------------------------------------------------------


@pytest.mark.parametrize("login", ["ann", "ANN", "ann@example.com", "Ann@Example.com"])
def test_a_person_logs_in_by_name_or_address_and_comes_home(client, ann, login):
    response = log_in(client, login)
    assert (response.status_code, response.url) == (302, reverse("home"))
    assert client.session["_auth_user_id"] == str(ann.pk)
    assert client.cookies["sessionid"]["max-age"] == 14 * 24 * 60 * 60
    assert client.cookies["sessionid"]["httponly"]
    assert client.cookies["sessionid"]["samesite"] == "Lax"


def test_nothing_is_said_about_whether_an_account_exists(client, ann):
    said = set()
    for login in ("ann", "nobody", "ann@example.com", "nobody@example.com"):
        page = log_in(client, login, "wrong").content.decode()
        said |= set(re.findall(r"notice-bad.*?<div>(.*?)</div>", page, re.S))
    assert said == {"No account has this name or address with this password."}
    assert not is_logged_in(client)


def test_the_log_in_page_suits_password_managers_and_readers(client, db):
    page = client.get("/accounts/login/").content.decode()
    assert page.count("<h1>") == 1 and page.count("btn-primary") == 1
    assert re.search(r'<label for="id_login">Username or e-mail</label>', page)
    assert re.search(r'name="login"[^>]*autocomplete="username"', page)
    assert re.search(r'name="password"[^>]*autocomplete="current-password"', page)
    assert f'<a href="{reverse("account_reset_password")}">Forgot your password?</a>' in page
    missing = client.post("/accounts/login/", {"login": "ann"}).content.decode()
    assert re.search(r'name="password"[^>]*aria-invalid="true"[^>]*id_password_error', missing)
    assert re.search(r'name="login"[^>]*value="ann"', missing)


def test_whoever_wanted_a_page_gets_it_after_logging_in(client, ann):
    wanted = client.get("/admin/jobs/job/?status=running", follow=True)
    assert wanted.redirect_chain[-1][0].startswith("/accounts/login/?next=")
    field = re.search(r'name="next"[^>]*value="([^"]*)"', wanted.content.decode())
    data = {"login": "ann", "password": PASSWORD, "next": field[1]}
    assert client.post("/accounts/login/", data).url == "/admin/jobs/job/?status=running"


def test_a_log_in_leads_nowhere_else(client, ann):
    data = {"login": "ann", "password": PASSWORD, "next": "https://evil.example/"}
    assert client.post("/accounts/login/", data).url == reverse("home")


def test_a_closed_account_stays_out_with_the_right_password(client, db):
    person("ann", is_active=False)
    assert log_in(client).url == reverse("account_inactive")
    assert "closed" in client.get(reverse("account_inactive")).content.decode()
    assert not is_logged_in(client)


def test_an_account_that_is_closed_is_out_at_once(client, ann):
    log_in(client)
    ann.is_active = False
    ann.save()
    assert client.get("/").url.startswith("/accounts/login/")


def test_logging_out_takes_a_post_and_back_shows_nothing(client, ann):
    log_in(client)
    assert client.get("/accounts/logout/").status_code == 200
    assert is_logged_in(client)
    page = client.get("/accounts/password/change/")
    assert "no-store" in page["Cache-Control"]
    assert client.post("/accounts/logout/").url == "/accounts/login/"
    assert not is_logged_in(client)
    assert client.get("/accounts/password/change/").status_code == 302


def test_a_forged_post_is_refused_in_plain_words(ann):
    response = log_in(Client(enforce_csrf_checks=True))
    assert response.status_code == 403
    assert "This form is too old" in response.content.decode()


# Passwords -------------------------------------------------------------------------------------


def test_a_changed_password_ends_the_other_sessions_and_is_told(client, ann):
    elsewhere = Client()
    log_in(elsewhere), log_in(client)
    data = {"oldpassword": PASSWORD, "password1": NEW, "password2": NEW}
    assert client.post("/accounts/password/change/", data).url == reverse("home")
    assert is_logged_in(client)
    assert client.get("/accounts/2fa/").status_code == 200
    assert elsewhere.get("/accounts/2fa/").status_code == 302
    [told] = sent()
    assert told.to == ["ann@example.com"] and "127.0.0.1" in told.body
    assert "password" in told.body and "tell an admin" in told.body


@pytest.mark.parametrize(
    "data",
    [
        {"oldpassword": "wrong", "password1": NEW, "password2": NEW},
        {"oldpassword": PASSWORD, "password1": NEW, "password2": "another"},
        {"oldpassword": PASSWORD, "password1": "12345678", "password2": "12345678"},
        {"oldpassword": PASSWORD, "password1": "ann@example", "password2": "ann@example"},
    ],
)
def test_a_password_is_not_changed_lightly(client, ann, data):
    log_in(client)
    page = client.post("/accounts/password/change/", data)
    assert page.status_code == 200 and "field-error" in page.content.decode()
    ann.refresh_from_db()
    assert ann.check_password(PASSWORD)


def ask_for_a_link(client, email="ann@example.com", **extra):
    return client.post("/accounts/password/reset/", {"email": email}, **extra)


def link_in(message):
    return re.search(r"http://testserver(/\S+)", message.body)[1]


def test_a_forgotten_password_comes_back_by_mail_once(client, ann):
    assert ask_for_a_link(client).url == reverse("account_reset_password_done")
    [message] = sent()
    assert message.subject == "[Jobsite] A new password for your account"
    assert message.to == ["ann@example.com"]
    assert "the Jobsite account ann." in message.body and "example.com" not in message.body
    form = client.get(link_in(message), follow=True)
    assert 'autocomplete="new-password"' in form.content.decode()
    # The key does not stay in the address, from where it could leak.
    address = form.redirect_chain[-1][0]
    assert address.endswith("-set-password/")
    done = client.post(address, {"password1": NEW, "password2": NEW})
    assert done.url == reverse("account_reset_password_from_key_done")
    assert not is_logged_in(client)
    assert log_in(client, password=NEW).url == reverse("home")
    again = Client().get(link_in(message), follow=True)
    assert "This link does not work" in again.content.decode()


def test_a_link_works_for_a_day(client, ann):
    with time_machine.travel(NOW, tick=False):
        ask_for_a_link(client)
        [message] = sent()
    with time_machine.travel(NOW.timestamp() + 24 * 60 * 60 + 2, tick=False):
        assert "does not work" in client.get(link_in(message), follow=True).content.decode()


def test_asking_tells_nothing_about_an_address(client, ann):
    person("closed", email="closed@example.com", is_active=False)
    answers = [
        ask_for_a_link(client, email)
        for email in ("ann@example.com", "nobody@example.com", "closed@example.com")
    ]
    assert len({(a.status_code, a.url, a.content) for a in answers}) == 1
    assert [message.to for message in sent()] == [["ann@example.com"]]


def test_a_mail_server_that_fails_or_is_slow_tells_nothing_either(client, ann, monkeypatch, caplog):
    release = threading.Event()

    def refuse(self, messages):
        release.wait(10)
        raise ConnectionRefusedError("no mail today")

    monkeypatch.setattr(EmailBackend, "send_messages", refuse)
    assert ask_for_a_link(client).url == reverse("account_reset_password_done")
    release.set()
    assert sent() == []
    assert "could not be sent" in caplog.text and "no mail today" in caplog.text


def test_a_former_address_gets_no_link(client, ann):
    ask_for_a_link(client)
    ann.email = "ann@new.example.com"
    ann.save()
    sent().clear()
    ask_for_a_link(client)
    ask_for_a_link(client, "ann@new.example.com")
    assert [message.to for message in sent()] == [["ann@new.example.com"]]
    assert log_in(client, "ann@example.com").status_code == 200
    assert log_in(client, "ann@new.example.com").status_code == 302


def test_a_link_does_not_outlive_the_address_that_it_went_to(client, ann):
    ask_for_a_link(client)
    ann.email = ""
    ann.save()
    assert "does not work" in client.get(link_in(sent()[0]), follow=True).content.decode()


def test_an_account_without_a_password_gets_its_first_by_mail(client, db):
    new = UserFactory(username="new", email="new@example.com")
    new.set_unusable_password()
    new.save()
    ask_for_a_link(client, "new@example.com")
    address = client.get(link_in(sent()[0]), follow=True).redirect_chain[-1][0]
    client.post(address, {"password1": NEW, "password2": NEW})
    assert log_in(client, "new", NEW).status_code == 302


def test_two_accounts_of_one_address_each_get_a_link(client, ann):
    person("ann-admin", email="ann@example.com")
    ask_for_a_link(client)
    named = {re.search(r"account (\S+)\.", message.body)[1] for message in sent()}
    assert named == {"ann", "ann-admin"}


# Limits ----------------------------------------------------------------------------------------


def test_five_wrong_passwords_close_a_name_for_five_minutes(client, ann):
    with time_machine.travel(NOW, tick=False) as clock:
        # Other addresses and other names of the site do not make it more.
        for n in range(5):
            log_in(client, password="wrong", REMOTE_ADDR=f"10.0.0.{n}", HTTP_HOST="localhost")
        refused = log_in(client)
        assert "Too many attempts" in refused.content.decode()
        assert not is_logged_in(client)
        clock.shift(301)
        assert log_in(client).status_code == 302


def test_guessing_at_many_names_is_limited_by_address(client, ann):
    for n in range(10):
        log_in(client, f"name{n}", "wrong")
    assert "Too many attempts" in log_in(client).content.decode()
    assert log_in(client, REMOTE_ADDR="10.0.0.9").status_code == 302


def test_logging_in_all_the_time_is_limited(client, ann):
    answers = [client.post("/accounts/login/", {}) for _ in range(31)]
    assert [a.status_code for a in answers] == [200] * 30 + [429]
    assert "Too many attempts" in answers[-1].content.decode()


def test_asking_for_links_is_limited(client, ann):
    answers = [ask_for_a_link(client, REMOTE_ADDR=f"10.0.0.{n}") for n in range(6)]
    assert [a.status_code for a in answers] == [302] * 5 + [429]
    assert len(sent()) == 5


def fill(client, forwarded):
    return [client.post("/accounts/login/", {}, HTTP_X_FORWARDED_FOR=f) for f in forwarded][-1]


def test_without_a_trusted_proxy_nobody_names_their_own_address(client, db):
    assert fill(client, [f"10.0.0.{n}" for n in range(31)]).status_code == 429


def test_behind_a_trusted_proxy_each_client_is_counted_alone(client, db, settings):
    settings.ALLAUTH_TRUSTED_PROXY_COUNT = 1
    assert fill(client, [f"10.0.0.{n}" for n in range(31)]).status_code == 200
    # What the client itself put before the proxy's word is not believed.
    assert fill(client, [f"10.1.1.{n}, 10.2.2.2" for n in range(31)]).status_code == 429


def test_what_is_counted_is_counted_for_all_processes(client, ann):
    log_in(client, password="wrong")
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM cache WHERE cache_key LIKE '%login_failed%'")
        assert cursor.fetchone()[0] == 2


# What there is not -----------------------------------------------------------------------------


def test_nobody_signs_up(client, db):
    assert AccountAdapter().is_open_for_signup(None) is False
    for name in ("account_signup", "account_email", "account_request_login_code"):
        with pytest.raises(NoReverseMatch):
            reverse(name)
    assert client.get("/accounts/signup/", follow=True).status_code == 404


def test_the_pages_of_an_account_are_these_and_no_others():
    [accounts] = [p for p in get_resolver().url_patterns if str(p.pattern) == "accounts/"]
    ours = {pattern.name: pattern.callback for pattern in _patterns(accounts)}
    assert set(ours) == OPEN | CLOSED
    assert {
        name for name, view in ours.items() if not getattr(view, "login_required", True)
    } == OPEN


OPEN = {
    "account_login",
    "account_logout",
    "account_inactive",
    "account_reset_password",
    "account_reset_password_done",
    "account_reset_password_from_key",
    "account_reset_password_from_key_done",
    "mfa_authenticate",
}
CLOSED = {
    "account_reauthenticate",
    "account_change_password",
    "account_set_password",
    "mfa_index",
    "mfa_reauthenticate",
    "mfa_activate_totp",
    "mfa_deactivate_totp",
    "mfa_view_recovery_codes",
    "mfa_generate_recovery_codes",
    "mfa_download_recovery_codes",
}


def _patterns(resolver):
    for pattern in resolver.url_patterns:
        yield from _patterns(pattern) if hasattr(pattern, "url_patterns") else [pattern]


@pytest.mark.parametrize("name", sorted(CLOSED))
def test_an_account_page_asks_who_is_there(client, db, name):
    assert client.get(reverse(name)).url == f"/accounts/login/?next={reverse(name)}"


# The second step -------------------------------------------------------------------------------


@pytest.fixture
def clock():
    with time_machine.travel(NOW, tick=False) as clock:
        yield clock


def turn_on(client):
    """Turn the second step on as `client`; its secret and recovery codes."""
    page = client.get("/accounts/2fa/totp/activate/", follow=True)
    assert page.redirect_chain[-1][0].startswith("/accounts/reauthenticate/")
    data = {"password": PASSWORD, "next": "/accounts/2fa/totp/activate/"}
    page = client.post("/accounts/reauthenticate/", data, follow=True)
    secret = re.search(r"<code>([A-Z2-7]{32})</code>", page.content.decode())[1]
    codes = client.post("/accounts/2fa/totp/activate/", {"code": code_for(secret)}, follow=True)
    return secret, re.findall(r"<li>(\d{8})</li>", codes.content.decode())


@pytest.fixture
def second(client, clock, ann):
    """Ann's second step: its secret, its recovery codes, and the clock. She is logged out."""
    log_in(client)
    secret, codes = turn_on(client)
    client.post("/accounts/logout/")
    clock.shift(60)
    return secret, codes, clock


def give(client, code):
    return client.post("/accounts/2fa/authenticate/", {"code": code})


@pytest.mark.django_db(transaction=True)
def test_turning_it_on_asks_for_the_password_and_is_told(client, second, ann):
    # Of what a test writes outside a transaction, only rows of models are taken away after it.
    cache.clear()
    _secret, codes, _clock = second
    assert len(codes) == 10
    assert {a.type for a in Authenticator.objects.filter(user=ann)} == {"totp", "recovery_codes"}
    assert any("Authenticator app activated" in message.body for message in sent())


def test_a_password_alone_is_then_not_enough(client, second):
    secret, _codes, _clock = second
    assert log_in(client).url == reverse("mfa_authenticate")
    assert not is_logged_in(client)
    assert client.get("/").url.startswith("/accounts/login/")
    wrong = give(client, "000000")
    assert "not right" in wrong.content.decode() and not is_logged_in(client)
    assert 'autocomplete="one-time-code"' in wrong.content.decode()
    assert give(client, code_for(secret)).url == reverse("home")
    assert is_logged_in(client)


def test_a_code_works_once(client, second):
    secret, _codes, _clock = second
    log_in(client)
    give(client, code_for(secret))
    onlooker = Client()
    log_in(onlooker)
    assert give(onlooker, code_for(secret)).status_code == 200
    assert not is_logged_in(onlooker)


def test_an_old_code_does_not_work(client, second):
    secret, _codes, clock = second
    old = code_for(secret)
    clock.shift(60)
    log_in(client)
    assert give(client, old).status_code == 200


def test_a_recovery_code_works_once(client, second):
    _secret, codes, _clock = second
    for code, works in [(codes[0], True), (codes[0], False), (codes[1], True)]:
        someone = Client()
        log_in(someone)
        give(someone, code)
        assert is_logged_in(someone) is works


def test_guessing_codes_is_limited(client, second):
    secret, _codes, _clock = second
    log_in(client)
    for n in range(5):
        give(client, f"00000{n}")
    refused = give(client, code_for(secret))
    assert "Too many attempts" in refused.content.decode()
    assert not is_logged_in(client)


def test_a_new_password_by_mail_does_not_go_round_it(client, second):
    sent().clear()
    ask_for_a_link(client)
    address = client.get(link_in(sent()[0]), follow=True).redirect_chain[-1][0]
    client.post(address, {"password1": NEW, "password2": NEW})
    assert log_in(client, password=NEW).url == reverse("mfa_authenticate")


@pytest.mark.parametrize(
    "page", ["totp/deactivate/", "recovery-codes/", "recovery-codes/generate/"]
)
def test_what_guards_the_account_asks_again(client, second, page):
    secret, codes, clock = second
    log_in(client)
    give(client, code_for(secret))
    asked = client.get(f"/accounts/2fa/{page}")
    assert asked.url.startswith("/accounts/reauthenticate/")
    # By a code as well as by the password.
    clock.shift(60)
    data = {"code": code_for(secret), "next": f"/accounts/2fa/{page}"}
    through = client.post("/accounts/2fa/reauthenticate/", data, follow=True)
    assert through.redirect_chain == [(f"/accounts/2fa/{page}", 302)]
    assert through.status_code == 200


def test_turning_it_off_makes_the_password_enough_again(client, second):
    secret, _codes, _clock = second
    log_in(client)
    give(client, code_for(secret))
    client.post("/accounts/reauthenticate/", {"password": PASSWORD})
    assert client.post("/accounts/2fa/totp/deactivate/").url == "/accounts/2fa/"
    assert not Authenticator.objects.exists()
    assert log_in(Client()).url == reverse("home")


def test_new_recovery_codes_replace_the_old_ones(client, second):
    secret, codes, _clock = second
    log_in(client)
    give(client, code_for(secret))
    client.post("/accounts/reauthenticate/", {"password": PASSWORD})
    page = client.post("/accounts/2fa/recovery-codes/generate/", follow=True).content.decode()
    new = re.findall(r"<li>(\d{8})</li>", page)
    assert len(new) == 10 and not set(new) & set(codes)
    text = client.get("/accounts/2fa/recovery-codes/download/").content.decode()
    assert text.split() == new


# The admin's door ------------------------------------------------------------------------------


def test_the_admin_is_entered_through_the_same_log_in(client, db):
    person("root", is_staff=True, is_superuser=True)
    gone = client.get("/admin/", follow=True)
    assert gone.redirect_chain[-1][0] == "/accounts/login/?next=%2Fadmin%2F"
    posted = client.post("/admin/login/", {"username": "root", "password": PASSWORD})
    assert posted.url.startswith("/accounts/login/") and not is_logged_in(client)
    data = {"login": "root", "password": PASSWORD, "next": "/admin/"}
    assert client.post("/accounts/login/", data).url == "/admin/"
    assert client.get("/admin/").status_code == 200
    assert client.get("/admin/password_change/").url == "/accounts/password/change/"


def test_the_second_step_holds_at_the_admin(client, second, ann):
    ann.is_staff = ann.is_superuser = True
    ann.save()
    log_in(client)
    page = client.get("/admin/", follow=True)
    assert page.redirect_chain[-1][0] == "/accounts/2fa/authenticate/"
    assert not is_logged_in(client)


def test_whoever_is_not_staff_is_told_so(client, ann):
    log_in(client)
    refused = client.get("/admin/", follow=True)
    assert refused.status_code == 403
    assert "Not allowed" in refused.content.decode()


def test_an_admin_takes_a_second_step_off_and_never_sees_it(client, second, ann):
    secret, _codes, _clock = second
    root = Client()
    root.force_login(person("root", is_staff=True, is_superuser=True))
    totp = Authenticator.objects.get(user=ann, type="totp")
    address = f"/admin/mfa/authenticator/{totp.pk}/"
    for page in ("/admin/mfa/authenticator/", f"{address}change/", f"{address}delete/"):
        shown = root.get(page)
        assert shown.status_code == 200 and secret not in shown.content.decode()
    assert root.get("/admin/mfa/authenticator/add/").status_code == 403
    root.post(f"{address}delete/", {"post": "yes"})
    assert log_in(client).url == reverse("home")


def test_an_address_is_edited_in_one_place(client, db):
    client.force_login(person("root", is_staff=True, is_superuser=True))
    assert client.get("/admin/account/emailaddress/").status_code == 404


# Set-up ----------------------------------------------------------------------------------------


def test_setup_makes_the_table_that_limits_are_counted_in(shell):
    with connection.cursor() as cursor:
        cursor.execute("DROP TABLE cache")
    for _ in range(2):
        assert shell("setup").code == 0
    cache.set("a", 1)
    assert cache.get("a") == 1
    assert Schedule.objects.filter(name="forget ended sessions").count() == 1
