"""What every response says to the browser, and that no page asks for more."""

import re
from contextlib import closing
from html.parser import HTMLParser
from pathlib import Path

import pytest
from django.contrib import admin
from django.http import HttpResponse
from django.test import Client
from django.urls import path, reverse

from jobs.models import Role, Status
from jobsite.urls import urlpatterns as site
from tests.factories import JobFactory, UserFactory, WorkspaceFactory
from tests.processes import ROOT

POLICY = {
    "default-src": "'none'",
    "script-src": "'self'",
    "style-src": "'self'",
    "connect-src": "'self'",
    "font-src": "'self'",
    "img-src": "'self' data:",
    "object-src": "'none'",
    "base-uri": "'none'",
    "frame-ancestors": "'none'",
    "form-action": "'self'",
}


def _broken(request):
    raise RuntimeError("broken on purpose")


def _kept(request):
    return HttpResponse("kept", headers={"Cache-Control": "private, max-age=60"})


urlpatterns = [path("broken/", _broken), path("kept/", _kept), *site]


@pytest.fixture
def root(db):
    return UserFactory(username="root", is_staff=True, is_superuser=True)


@pytest.fixture
def browser(root, settings):
    settings.ROOT_URLCONF = __name__
    client = Client(raise_request_exception=False)
    client.force_login(root)
    return client


#: what it is: (address, status, more for the request)
RESPONSES = {
    "a page": ("/accounts/2fa/", 200, {}),
    "the admin": ("/admin/", 200, {}),
    "a redirect": ("/admin/login/", 302, {}),
    "a static file": ("/static/jobsite/icon.svg", 200, {}),
    "what is not there": ("/nowhere/", 404, {}),
    "a host that is none of ours": ("/accounts/2fa/", 400, {"HTTP_HOST": "evil.example"}),
    "a view that breaks": ("/broken/", 500, {}),
    "a webhook": ("/webhooks/openai/", 405, {}),
}


@pytest.mark.parametrize("case", RESPONSES)
def test_every_response_is_guarded(browser, case):
    address, status, extra = RESPONSES[case]
    if case == "a redirect":
        browser.logout()
    response = browser.get(address, **extra)
    assert response.status_code == status
    assert_guarded(response)
    response.close()


def test_so_is_the_way_to_https(browser, settings):
    settings.SECURE_SSL_REDIRECT = True
    response = Client().get("/accounts/login/")
    assert (response.status_code, response.url) == (301, "https://testserver/accounts/login/")
    assert_guarded(response)


def test_so_is_a_forged_post(db):
    response = Client(enforce_csrf_checks=True).post("/accounts/login/", {})
    assert response.status_code == 403
    assert_guarded(response)


def assert_guarded(response):
    said = response["Content-Security-Policy"]
    assert dict(part.strip().split(" ", 1) for part in said.split(";")) == POLICY
    assert response["X-Content-Type-Options"] == "nosniff"
    assert response["Referrer-Policy"] == "same-origin"
    assert response["Cross-Origin-Opener-Policy"] == "same-origin"
    assert response["Cross-Origin-Resource-Policy"] == "same-origin"
    assert "camera=()" in response["Permissions-Policy"]


@pytest.mark.parametrize("address", ["/accounts/2fa/", "/admin/", "/nowhere/", "/accounts/login/"])
def test_a_page_is_not_kept_by_the_browser(browser, address):
    said = browser.get(address)["Cache-Control"]
    assert "no-store" in said and "private" in said


def test_what_may_be_kept_says_so_itself(browser):
    assert browser.get("/kept/")["Cache-Control"] == "private, max-age=60"
    with closing(browser.get("/static/jobsite/icon.svg")) as static:
        assert "no-store" not in static["Cache-Control"]


# No page asks for more than the policy allows --------------------------------------------------


class Inline(HTMLParser):
    """Collects what the policy would block."""

    def __init__(self):
        super().__init__()
        self.found = []

    def handle_starttag(self, tag, attrs):
        given = dict(attrs)
        data = given.get("type", "").endswith("json")
        if tag == "style" or (tag == "script" and "src" not in given and not data):
            self.found.append(self.get_starttag_text())
        if any(name == "style" or name.startswith(("on", "hx-on")) for name in given):
            self.found.append(self.get_starttag_text())
        if any((value or "").strip().lower().startswith("javascript:") for value in given.values()):
            self.found.append(self.get_starttag_text())


def inline(page):
    parser = Inline()
    parser.feed(page)
    return parser.found


def test_the_search_for_inline_code_finds_it():
    assert len(inline('<p style="x"><b onclick="x"><script>x</script><style>x</style>')) == 4
    assert inline('<script src="x"></script><script type="application/json">{}</script>') == []


@pytest.mark.parametrize(
    "template", sorted(str(p.relative_to(ROOT)) for p in (ROOT / "templates").rglob("*.html"))
)
def test_a_template_holds_no_inline_code(template):
    text = (ROOT / template).read_text()
    assert inline(re.sub(r"{%.*?%}|{{.*?}}|{#.*?#}", "", text)) == []


def test_no_page_of_the_admin_holds_inline_code(browser, root):
    workspace = WorkspaceFactory()
    UserFactory(workspace=workspace, roles=[Role.ADMIN])
    JobFactory(status=Status.COMPLETED, workspace=workspace)
    seen = 0
    for model in admin.site._registry:
        name = f"admin:{model._meta.app_label}_{model._meta.model_name}"
        pages = [reverse(f"{name}_changelist"), reverse(f"{name}_add")]
        for row in model._default_manager.all()[:1]:
            pages += [reverse(f"{name}_{verb}", args=[row.pk]) for verb in VERBS]
        for page in pages:
            response = browser.get(page)
            assert response.status_code in (200, 403), page
            assert inline(response.content.decode()) == [], page
            seen += response.status_code == 200
    assert seen > 30
    for page in ("/admin/", "/admin/jobs/", f"/admin/jobs/user/{root.pk}/password/"):
        assert inline(browser.get(page).content.decode()) == []


VERBS = ("change", "delete", "history")


def test_styles_and_scripts_come_from_files_that_are_there():
    for template in (ROOT / "templates").rglob("*.html"):
        for name in re.findall(r'{% static "([^"]+)"', template.read_text()):
            found = [ROOT / "static" / name, *_package_statics(name)]
            assert any(file.is_file() for file in found), (template, name)


def _package_statics(name):
    return [Path(admin.__file__).parent / "static" / name]
