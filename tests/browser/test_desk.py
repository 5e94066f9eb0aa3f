"""One review after the other, by the keyboard alone; and two people who open the same one."""

import re
from datetime import timedelta

import pytest
from django.utils import timezone
from playwright.sync_api import expect

from jobs.documents import Upload
from jobs.models import Gate, Job, Role, Status, User
from reviews.models import Decision, ReviewerNote, Seen
from tests.browser import DESK, PASSWORD, PHONE, faults, shifts
from tests.factories import JobFactory, JobTypeFactory, WorkspaceFactory, finish, start
from tests.payloads import message
from tests.told import tell

pytestmark = pytest.mark.django_db(transaction=True)

CHORD = "Control+Enter"
TEXT = "High tide was at noon.\nLow tide came six hours later.\n"


@pytest.fixture
def workspace(db, person):
    workspace = WorkspaceFactory(slug="quality")
    person("ruth", workspace, Role.REVIEWER)
    person("lee", workspace, Role.LEAD, first_name="Lee", last_name="Lund")
    return workspace


@pytest.fixture
def waiting(workspace):
    """Three reviews, in the order in which they are due."""
    return [JobFactory(workspace=workspace, status=Status.NEEDS_REVIEW) for _ in range(3)]


def with_evidence(workspace, **fields):
    """A review of a result that quotes a document twice, and once what is in none."""
    job_type = JobTypeFactory(
        check_quotes=True, version__output_schema={"type": "object"}, **fields
    )
    upload = Upload("tides.txt", TEXT.encode())
    job = JobFactory(workspace=workspace, job_type=job_type, uploads=(upload,))
    start(job)
    said = ["High tide was at noon.", "Low tide came six hours later.", "It never rained."]
    points = ", ".join(f'{{"claim": "One", "quote": "{quote}"}}' for quote in said)
    finish(job, "completed", output=[message(f'{{"points": [{points}]}}')])
    job.refresh_from_db()
    return job


def ready(page):
    """The page is in sight, and its review is claimed."""
    expect(page.get_by_text("You have it open")).to_be_visible()
    page.wait_for_timeout(450)


def moved_as_asked(page):
    """What moved so far answers a key: on a busy machine later than the browser allows for."""
    page.evaluate("window.shifts = []")


def tolerates(visitor, *codes):
    """The browser notes refusals on its console; nothing else may be there."""
    visitor.said[:] = [line for line in visitor.said if not any(code in line for code in codes)]


def test_from_the_inbox_through_three_reviews_to_the_end_by_the_keyboard(waiting, visit):
    page = visit("ruth").page
    page.goto("/w/quality/reviews/")
    page.get_by_role("link", name="tides").first.focus()
    page.keyboard.press("Enter")
    for number, job in enumerate(waiting, 1):
        page.wait_for_url(re.compile(job.ref))
        ready(page)
        expect(page.get_by_text(f"1 of {4 - number} waiting")).to_be_visible()
        if number == 1:
            page.keyboard.press("n")
            page.keyboard.type("All is as it should be, @le")
            page.keyboard.press("Enter")
            page.keyboard.type("looked.")
        assert faults(page) == []
        page.keyboard.press(CHORD)
    expect(page.get_by_role("heading", name="All done")).to_be_visible()
    expect(page.get_by_text(f"Approved {waiting[-1].ref}.")).to_be_visible()
    expect(page.get_by_text("You have made 3 decisions today.")).to_be_visible()
    assert faults(page) == []
    made = list(Decision.objects.order_by("id").values_list("job__ref", "note"))
    noted = "All is as it should be, @lee looked."
    assert made == [(waiting[0].ref, noted), (waiting[1].ref, ""), (waiting[2].ref, "")]
    page.wait_for_timeout(450)
    page.keyboard.press("b")
    expect(
        page.get_by_text("This job is not waiting for a decision at the moment.")
    ).to_be_visible()
    page.wait_for_timeout(450)
    page.keyboard.press("b")
    page.wait_for_url(re.compile(waiting[1].ref))


def test_nothing_moves_as_a_slow_machine_reads_the_page(waiting, visit):
    ruth = visit("ruth")
    page = ruth.page
    browser = ruth.context.new_cdp_session(page)
    browser.send("Emulation.setCPUThrottlingRate", {"rate": 12})
    for job in waiting:
        page.goto(f"/jobs/{job.ref}/review/")
        expect(page.get_by_text("You have it open")).to_be_visible()
        page.wait_for_timeout(300)
        assert shifts(page) == []


def test_skipping_leaves_a_review_as_it_is_and_the_end_says_so(waiting, visit):
    page = visit("ruth").page
    page.goto(f"/jobs/{waiting[0].ref}/review/")
    ready(page)
    page.keyboard.press("s")
    page.wait_for_url(re.compile(waiting[1].ref))
    ready(page)
    expect(page.get_by_text("2 of 3 waiting")).to_be_visible()
    assert Gate.objects.get(job=waiting[0]).claimed_by is None, "leaving lets go of it"
    page.keyboard.press("b")
    page.wait_for_url(re.compile(waiting[0].ref))
    ready(page)
    for job in waiting[1:]:
        page.keyboard.press("s")
        page.wait_for_url(re.compile(f"/jobs/{job.ref}/review/"))
        ready(page)
    page.keyboard.press(CHORD)
    expect(page.get_by_role("heading", name="You are through")).to_be_visible()
    assert faults(page) == []
    page.wait_for_timeout(450)
    page.keyboard.press(CHORD)
    page.wait_for_url(re.compile(waiting[0].ref))
    assert Decision.objects.get().job == waiting[2]


def test_keys_are_dead_until_the_next_review_is_in_sight(waiting, visit):
    visitor = visit("ruth")
    page = visitor.page
    page.goto(f"/jobs/{waiting[0].ref}/review/")
    ready(page)

    def slowly(route):
        page.wait_for_timeout(600)
        route.continue_()

    page.route(re.compile(f"{waiting[1].ref}/review/"), slowly)
    page.keyboard.press(CHORD)
    # While the answer is on its way, and in the moment in which it comes up.
    for _ in range(4):
        page.keyboard.press(CHORD)
    page.wait_for_url(re.compile(waiting[1].ref))
    page.keyboard.press(CHORD)
    page.wait_for_timeout(300)
    assert Decision.objects.count() == 1
    assert waiting[1].ref in page.url
    ready(page)
    page.keyboard.press(CHORD)
    page.wait_for_url(re.compile(waiting[2].ref))
    assert Decision.objects.count() == 2


def test_a_key_that_is_held_decides_once(waiting, visit):
    page = visit("ruth").page
    page.goto(f"/jobs/{waiting[0].ref}/review/")
    ready(page)
    page.keyboard.down("Control")
    for _ in range(12):
        # Pressed again without being let go of: the browser says that it repeats.
        page.keyboard.down("Enter")
        page.wait_for_timeout(100)
    page.keyboard.up("Enter")
    page.keyboard.up("Control")
    page.wait_for_url(re.compile(waiting[1].ref))
    assert Decision.objects.count() == 1


def test_a_double_click_decides_once(waiting, visit):
    page = visit("ruth").page
    page.goto(f"/jobs/{waiting[0].ref}/review/")
    ready(page)
    approve = page.get_by_role("button", name="Approve").bounding_box()
    at = (approve["x"] + 20, approve["y"] + 10)
    page.mouse.click(*at)
    page.wait_for_url(re.compile(waiting[1].ref), wait_until="domcontentloaded")
    page.mouse.click(*at)
    page.wait_for_timeout(300)
    assert waiting[1].ref in page.url
    assert Decision.objects.count() == 1


@pytest.mark.parametrize("size", [DESK, PHONE, {"width": 1920, "height": 1080}], ids=str)
def test_evidence_is_gone_through_by_the_keyboard(workspace, visit, size):
    job = with_evidence(workspace, evidence_seen=True)
    page = visit("ruth", viewport=size).page
    page.goto(f"/jobs/{job.ref}/review/")
    ready(page)
    approve = page.get_by_role("button", name="Approve")
    expect(approve).to_be_disabled()
    expect(page.get_by_text("0 of 3 seen")).to_be_visible()
    assert faults(page) == []
    page.keyboard.press(CHORD)
    for _ in range(3):
        page.keyboard.press("j")
        page.keyboard.press("x")
    expect(page.get_by_text("3 of 3 seen")).to_be_visible()
    expect(approve).to_be_enabled()
    page.keyboard.press("k")
    page.keyboard.press("Enter")
    expect(page.locator("#reader mark")).to_have_text("High tide was at noon.")
    expect(page.locator("#reader mark")).to_be_in_viewport()
    expect(page.get_by_role("heading", name="tides.txt", exact=True)).to_be_focused()
    moved_as_asked(page)
    assert faults(page) == []
    page.keyboard.press("j")
    expect(page.locator("#reader mark")).to_have_text("Low tide came six hours later.")
    page.keyboard.press("k")
    expect(page.locator("#reader mark")).to_have_text("High tide was at noon.")
    page.get_by_role("link", name="Next quote").click()
    expect(page.locator("#reader mark")).to_have_text("Low tide came six hours later.")
    page.keyboard.press("j")
    page.get_by_role("heading", name="tides.txt", exact=True).press("Escape")
    expect(page.locator(".evidence-here a")).to_be_focused()
    page.keyboard.press("Space")
    expect(page.get_by_text("2 of 3 seen")).to_be_visible()
    expect(approve).to_be_disabled()
    page.keyboard.press("Space")
    expect(approve).to_be_enabled()
    moved_as_asked(page)
    assert faults(page) == []
    page.keyboard.press(CHORD)
    expect(page.get_by_role("heading", name="All done")).to_be_visible()
    assert Seen.objects.count() == 3
    assert Decision.objects.get().job == job


def test_the_second_sees_who_has_it_open_and_takes_it_over(waiting, visit):
    job = waiting[0]
    first, second = visit("ruth"), visit("lee")
    first.page.goto(f"/jobs/{job.ref}/review/")
    ready(first.page)
    second.page.goto(f"/jobs/{job.ref}/review/")
    expect(second.page.locator("#claim-said")).to_contain_text("ruth has it open (since")
    expect(second.page.get_by_role("button", name="Approve")).to_be_disabled()
    assert faults(second.page) == []
    second.page.wait_for_timeout(450)
    second.page.keyboard.press(CHORD)
    assert not Decision.objects.exists()
    second.page.get_by_role("button", name="Take it over").press("Enter")
    ready(second.page)
    expect(second.page.get_by_role("button", name="Approve")).to_be_enabled()
    first.page.get_by_label("Your note").fill("I was")
    first.page.evaluate("htmx.trigger('#claim', 'look')")
    expect(first.page.locator("#claim-said")).to_contain_text("lee took it over")
    expect(first.page.get_by_role("button", name="Approve")).to_be_disabled()
    expect(first.page.get_by_label("Your note")).to_have_value("I was")
    expect(first.page.locator("#hold")).to_contain_text("lee has this review open")
    assert faults(first.page) == []
    second.page.keyboard.press(CHORD)
    second.page.wait_for_url(re.compile(waiting[1].ref))
    first.page.evaluate("htmx.trigger('#claim', 'look')")
    expect(first.page.locator("#claim-said")).to_contain_text("Nothing waits here any more")
    assert faults(first.page) == []


def test_what_is_renewed_speaks_where_something_changed_and_keeps_the_focus(
    workspace, waiting, visit
):
    job, now = waiting[0], timezone.now()
    Gate.objects.filter(pk=job.open_gate_id).update(
        claimed_by=User.objects.get(username="lee"),
        claimed_at=now,
        claimed_until=now + timedelta(minutes=5),
    )
    # Where the clock on the wall is another than the server's.
    page = visit("ruth", timezone_id="America/New_York").page

    def listen():
        page.evaluate(
            """() => {
                window.spoken = [];
                for (const region of document.querySelectorAll('[role=status], [role=alert]')) {
                    new MutationObserver((all) => window.spoken.push(...all.map((one) =>
                        `${region.id || region.className}: ${region.textContent.trim()}`)))
                        .observe(region, { childList: true, characterData: true, subtree: true });
                }
            }"""
        )

    def renewed(what):
        with page.expect_response(lambda answer: "hx-request" in answer.request.headers):
            page.evaluate(f"htmx.trigger('{what}', 'look')")
        page.wait_for_timeout(200)

    page.goto("/w/quality/reviews/")
    page.locator("[data-tick]").first.check()
    expect(page.get_by_text("1 ticked")).to_be_visible()
    listen()
    renewed("#waiting")
    renewed("#waiting")
    assert page.evaluate("window.spoken") == []
    expect(page.get_by_text("1 ticked")).to_be_visible()

    page.goto(f"/jobs/{job.ref}/review/")
    take = page.get_by_role("button", name="Take it over")
    expect(take).to_be_visible()
    page.wait_for_timeout(450)
    listen()
    renewed("#claim")
    renewed("#claim")
    assert page.evaluate("window.spoken") == []
    take.focus()
    page.keyboard.press("Enter")
    expect(page.get_by_text("You have it open")).to_be_visible()
    expect(page.locator("#claim-said")).to_be_focused()
    moved_as_asked(page)
    assert faults(page) == []


def test_the_page_that_asks_first_keeps_the_claim_and_leads_back(waiting, visit):
    page = visit("ruth").page
    page.goto(f"/jobs/{waiting[0].ref}/review/")
    ready(page)
    page.get_by_role("button", name="Reject").press("Enter")
    expect(page.get_by_role("heading", name="Reject?")).to_be_visible()
    assert Gate.objects.get(job=waiting[0]).claimed_by.username == "ruth"
    page.get_by_role("link", name="Leave it as it is").press("Enter")
    ready(page)
    page.keyboard.press("n")
    page.keyboard.type("Wrong year.")
    page.get_by_role("button", name="Reject").press("Enter")
    expect(page.get_by_role("heading", name="Reject?")).to_be_visible()
    page.wait_for_timeout(450)
    page.keyboard.press(CHORD)
    page.wait_for_url(re.compile(waiting[1].ref))
    assert Decision.objects.get().note == "Wrong year."


def test_the_keys_are_told_and_no_letter_decides(waiting, visit):
    page = visit("ruth").page
    page.goto(f"/jobs/{waiting[0].ref}/review/")
    ready(page)
    page.keyboard.press("?")
    sheet = page.get_by_role("dialog", name="Keys")
    expect(sheet).to_be_visible()
    assert faults(page) == []
    page.keyboard.press("a")
    page.keyboard.press(CHORD)
    page.keyboard.press("Escape")
    expect(sheet).to_be_hidden()
    # The Enter that ends a word of an input method is none of ours.
    page.evaluate(
        "document.body.dispatchEvent(new KeyboardEvent('keydown',"
        " { key: 'Enter', ctrlKey: true, isComposing: true, bubbles: true }))"
    )
    for letter in "rcaxjkodiptvwyzfgh":
        page.keyboard.press(letter)
    expect(page.get_by_role("button", name="Approve")).to_be_focused()
    assert not Decision.objects.exists()
    page.keyboard.press("m")
    page.keyboard.type("Ask @le")
    expect(page.get_by_role("option", name="@lee Lee Lund")).to_be_visible()
    assert faults(page) == []
    page.keyboard.press("Tab")
    page.keyboard.press(CHORD)
    expect(page.get_by_text("Your note is saved.")).to_be_visible()
    expect(page.locator(".reviewer-note .mention")).to_have_text("@lee")
    assert ReviewerNote.objects.get().text == "Ask @lee"
    assert not Decision.objects.exists()


def test_the_time_on_screen_counts_while_somebody_is_there(waiting, visit):
    page = visit("ruth").page
    page.goto(f"/jobs/{waiting[0].ref}/review/")
    ready(page)
    expect(page.locator("[data-seconds]")).to_have_value(re.compile("[2-9]"))
    page.evaluate("Object.defineProperty(document, 'hidden', { value: true, configurable: true })")
    before = page.locator("[data-seconds]").input_value()
    page.wait_for_timeout(2100)
    assert int(page.locator("[data-seconds]").input_value()) <= int(before) + 1


def test_a_claim_that_cannot_be_renewed_says_so(waiting, visit):
    visitor = visit("ruth")
    page = visitor.page
    page.goto(f"/jobs/{waiting[0].ref}/review/")
    ready(page)
    page.get_by_label("Your note").fill("I was about to")
    visitor.context.clear_cookies(name="sessionid")
    page.evaluate("htmx.trigger('#claim', 'look')")
    expect(page.get_by_text("You are logged out.")).to_be_visible()
    expect(page.get_by_label("Your note")).to_have_value("I was about to")
    expect(page.get_by_text("You have it open")).to_be_visible()
    # Logging in elsewhere gives the browser other tokens; the page gets those too.
    other = visitor.context.new_page()
    other.goto("/accounts/login/")
    other.get_by_label("Username or e-mail").fill("ruth")
    other.get_by_label("Password", exact=True).fill(PASSWORD)
    other.get_by_role("button", name="Log in").click()
    other.wait_for_url(lambda url: "/accounts/login/" not in url)
    other.close()
    page.evaluate("htmx.trigger('#claim', 'look')")
    expect(page.get_by_text("You are logged out.")).not_to_be_visible()
    expect(page.get_by_label("Your note")).to_have_value("I was about to")
    page.route("**/review/claim/", lambda route: route.abort())
    page.evaluate("htmx.trigger('#claim', 'look')")
    expect(page.get_by_text("Jobsite cannot be reached.")).to_be_visible()
    page.unroute("**/review/claim/")
    page.keyboard.press("Escape")
    page.keyboard.press(CHORD)
    expect(page.get_by_text(f"Approved {waiting[0].ref}.")).to_be_visible()
    tolerates(visitor, "htmx:", "ERR_FAILED", "403")


def test_on_a_phone_without_javascript_it_is_taken_ticked_and_decided(workspace, visit):
    job = with_evidence(workspace, evidence_seen=True)
    page = visit("ruth", viewport=PHONE, java_script_enabled=False).page
    page.goto(f"/jobs/{job.ref}/review/")
    expect(page.get_by_text("Nobody has it open")).to_be_visible()
    page.get_by_role("button", name="Take it").click()
    expect(page.get_by_text("You have it open")).to_be_visible()
    for number in range(3):
        expect(page.get_by_role("button", name="Approve")).to_be_disabled()
        page.locator(".tick[aria-pressed=false]").first.click()
        expect(page.get_by_text(f"{number + 1} of 3 seen")).to_be_visible()
    expect(page.get_by_role("button", name="Keys")).to_be_hidden()
    page.get_by_role("button", name="Approve").click()
    expect(page.get_by_role("heading", name="All done")).to_be_visible()
    assert Decision.objects.get().job == job


def test_on_a_phone_no_word_is_broken_and_the_frame_leaves_room(workspace, visit):
    for _ in range(12):
        JobFactory(workspace=workspace, status=Status.NEEDS_REVIEW, now=timezone.now())
    tell(timezone.now())
    page = visit("ruth", viewport=PHONE).page
    page.goto(f"/jobs/{Job.objects.earliest('id').ref}/review/")
    ready(page)
    brand, bell = page.locator(".brand").bounding_box(), page.locator("#bell").bounding_box()
    assert abs(brand["y"] + brand["height"] / 2 - bell["y"] - bell["height"] / 2) < 4
    assert page.locator(".bell-count").inner_text() == "11"
    assert page.locator(".bell-count").bounding_box()["height"] < 24
    buttons = page.locator(".verbs-buttons .btn").all()
    boxes = [button.bounding_box() for button in buttons]
    assert {round(box["height"]) for box in boxes} == {36}
    assert len({round(box["y"]) for box in boxes}) == 2
    assert faults(page) == []
