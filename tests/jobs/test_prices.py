"""The price book: its rows, how it is filled and edited, and what a completed job costs by it."""

import re
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from django.contrib.auth.models import Permission
from django.contrib.messages import get_messages
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.urls import reverse
from django.utils import timezone
from genai_prices import data
from genai_prices.types import (
    ClauseEquals,
    ConditionalPrice,
    ModelInfo,
    ModelPrice,
    PriceVariant,
    StartDateConstraint,
    TieredPrices,
    TimeOfDateConstraint,
)
from genai_prices.types import (
    Tier as Step,
)

from jobs import evidence, lapses, price_book
from jobs.admin.coherence import misgivings
from jobs.models import Attempt, Job, Price, Review, Role, State, Status, Tier, ToolFee, Turn
from jobs.models.prices import names_of
from jobs.operations import overview
from jobs.spending import Spending, spending, spending_by_type
from jobs.templatetags.jobsite import money
from reviews.actions import Ask, decide
from reviews.models import Ruling
from tests.factories import (
    JobFactory,
    JobTypeFactory,
    UserFactory,
    WorkspaceFactory,
    become_unknown,
    finish,
    last_turn,
    start,
)
from tests.payloads import usage

pytestmark = pytest.mark.django_db

EARLY = datetime(2020, 1, 1, tzinfo=UTC)


@pytest.fixture
def now():
    return timezone.now()


@pytest.fixture
def empty():
    """A book without a row."""
    Price.objects.all().delete()
    ToolFee.objects.all().delete()


def stored(kind=Price, **fields):
    """A row that is in the book whatever its moment."""
    if kind is Price:
        fields = {"model": "mine", "input": 2, "output": 10, **fields}
    return kind.objects.bulk_create([kind(**fields)])[0]


# Rows ----------------------------------------------------------------------------------------------


BROKEN = [
    {"input": -1},
    {"output": Decimal("-0.000001")},
    {"cached_input": -1},
    {"cache_write": -1},
    {"long_context_above": 10, "long_input_multiplier": -1},
    {"batch_multiplier": -1},
    {"long_output_multiplier": 2},
    {"tier": "scale"},
    {"model": ""},
]


@pytest.mark.parametrize("fields", BROKEN, ids=str)
def test_what_no_price_can_be_is_refused_by_the_database(fields, now):
    with pytest.raises(IntegrityError), transaction.atomic():
        stored(**{"effective_from": now, **fields})


def test_a_model_and_tier_have_one_price_from_a_moment(now):
    stored(effective_from=now)
    stored(effective_from=now, tier=Tier.FLEX)
    with pytest.raises(IntegrityError), transaction.atomic():
        stored(effective_from=now)


@pytest.mark.parametrize("fields", [{"usd": -1}, {"tool": ""}])
def test_what_no_fee_can_be_is_refused_by_the_database(fields, now):
    with pytest.raises(IntegrityError), transaction.atomic():
        stored(ToolFee, **{"tool": "a_call", "usd": 1, "effective_from": now, **fields})


@pytest.mark.parametrize("kind", [Price, ToolFee])
def test_a_row_in_effect_is_neither_changed_nor_deleted(kind):
    row = kind.objects.first()
    for verb in (row.save, row.delete):
        with pytest.raises(ValidationError, match="in effect, so it never changes"):
            verb()
    row.effective_from = timezone.now() + timedelta(days=1)
    with pytest.raises(ValidationError, match="never changes"):
        row.save()
    assert kind.objects.filter(pk=row.pk, effective_from=EARLY).exists()


def test_a_row_of_the_future_can_be_changed_and_deleted(now):
    row = stored(effective_from=now + timedelta(days=1))
    row.input = 3
    row.save()
    assert Price.objects.get(pk=row.pk).input == 3
    row.delete()
    assert not Price.objects.filter(model="mine").exists()


def test_no_row_is_put_before_one_that_counts(now):
    stored(effective_from=now - timedelta(days=2))
    with pytest.raises(ValidationError, match="Another price counts"):
        Price(model="mine", input=1, output=1, effective_from=now - timedelta(days=1)).save()
    with pytest.raises(ValidationError, match="Another price counts"):
        Price(
            model="mine-2026-01-01", input=1, output=1, effective_from=now - timedelta(days=1)
        ).save()
    Price(model="mine", input=1, output=1, effective_from=now - timedelta(days=3)).save()
    Price(model="another", input=1, output=1, effective_from=EARLY).save()
    fee = ToolFee(tool="web_search_call", model="mine", usd=1, effective_from=EARLY)
    with pytest.raises(ValidationError, match="Another price counts"):
        fee.save()


def test_a_row_of_the_future_is_not_moved_into_a_past_that_is_priced(now):
    Price.objects.create(model="m", input=1, output=1, effective_from=now - timedelta(days=30))
    ToolFee.objects.create(tool="t", usd=1, effective_from=now - timedelta(days=30))
    rows = [
        Price.objects.create(model="m", input=9, output=9, effective_from=now + timedelta(days=1)),
        ToolFee.objects.create(tool="t", usd=9, effective_from=now + timedelta(days=1)),
    ]
    for row in rows:
        row.effective_from = now - timedelta(days=10)
        with pytest.raises(ValidationError, match="Another price counts at that moment"):
            row.save()
        with pytest.raises(ValidationError, match="Another price counts at that moment"):
            row.full_clean()


def test_names_are_sought_from_the_closest_to_the_farthest():
    ranked = sorted(names_of("gpt-5-2026-08-01"), key=names_of("gpt-5-2026-08-01").get)
    assert ranked[:2] == ["gpt-5-2026-08-01", "gpt-5-2026-08-01*"]
    assert ranked.index("gpt-5") < ranked.index("gpt-5*") < ranked.index("gpt-*")
    assert ranked[-1] == "*"


# The seed ------------------------------------------------------------------------------------------


def rows():
    return [
        list(kind.objects.order_by("pk").values()) for kind in (Price, ToolFee, Price.history.model)
    ]


def test_seeding_again_adds_nothing(now):
    before = rows()
    assert price_book.seed(now) == price_book.Seeded(0, 0)
    assert rows() == before


def test_seeding_an_empty_book_says_where_each_row_is_from(empty, now):
    added = price_book.seed(now)
    assert (added.prices, added.fees) == (Price.objects.count(), ToolFee.objects.count())
    assert added.prices > 200
    sources = set(Price.objects.values_list("source", flat=True))
    assert len(sources) == 1 and sources.pop().startswith("genai-prices 0.")
    assert Price.history.filter(history_type="+").count() >= added.prices


def test_a_search_costs_a_cent_and_a_container_is_unknown(now):
    fees = ToolFee.objects.fees(
        ["web_search_call", "file_search_call", "code_interpreter_call"], model="gpt-5", at=now
    )
    assert fees == {"web_search_call": Decimal("0.01"), "file_search_call": Decimal("0.0025")}


def listed(monkeypatch, *models):
    """The list as of tomorrow."""
    found = [p for p in data.providers if p.id == "openai"]
    monkeypatch.setattr(found[0], "models", list(models))
    return found


def model_of(prices, **kwargs):
    return ModelInfo(id="mine", match=ClauseEquals("mine"), prices=prices, **kwargs)


def flat(asked, answered=10):
    return ModelPrice(input_mtok=Decimal(asked), output_mtok=Decimal(answered))


def mine(tier=Tier.DEFAULT):
    found = Price.objects.filter(model="mine", tier=tier).order_by("effective_from")
    return [(row.effective_from, row.input) for row in found]


def test_a_price_that_the_list_changes_counts_from_now_and_not_before(monkeypatch, now):
    listed(monkeypatch, model_of(flat(2)))
    price_book.seed(now - timedelta(days=9))
    listed(monkeypatch, model_of(flat(3)))
    price_book.seed(now)
    assert mine() == [(EARLY, 2), (now, 3)]
    assert price_book.seed(now + timedelta(days=1)).prices == 0


def test_dated_prices_are_taken_with_their_dates(monkeypatch, now):
    later = (now + timedelta(days=40)).date()
    last = StartDateConstraint(start_date=(now - timedelta(days=40)).date())
    listed(
        monkeypatch,
        model_of(
            [
                ConditionalPrice(prices=flat(2)),
                ConditionalPrice(last, prices=flat(3)),
                ConditionalPrice(StartDateConstraint(start_date=later), prices=flat(4)),
            ]
        ),
    )
    price_book.seed(now)
    assert [usd for _at, usd in mine()] == [2, 3, 4]
    assert [at.date() for at, _usd in mine()[1:]] == [last.start_date, later]


def test_a_date_that_has_passed_when_the_list_tells_of_it_reprices_nothing(monkeypatch, now):
    listed(monkeypatch, model_of(flat(2)))
    price_book.seed(now - timedelta(days=9))
    week_ago = StartDateConstraint(start_date=(now - timedelta(days=7)).date())
    ahead = StartDateConstraint(start_date=(now + timedelta(days=7)).date())
    changes = [ConditionalPrice(week_ago, prices=flat(3)), ConditionalPrice(ahead, prices=flat(4))]
    listed(monkeypatch, model_of([ConditionalPrice(prices=flat(2)), *changes]))
    price_book.seed(now)
    assert mine()[:2] == [(EARLY, 2), (now, 3)]
    assert [usd for _at, usd in mine()] == [2, 3, 4]
    assert price_book.seed(now).prices == 0


def test_a_price_of_somebodys_own_stays_the_newest(monkeypatch, now):
    listed(monkeypatch, model_of(flat(2)))
    price_book.seed(now - timedelta(days=9))
    stored(input=1, effective_from=now - timedelta(days=2), source="Our contract")
    listed(monkeypatch, model_of(flat(3)))
    assert price_book.seed(now).prices == 0
    assert [usd for _at, usd in mine()] == [2, 1]


def test_a_tier_has_a_price_only_from_when_the_list_knows_one(monkeypatch, now):
    since = StartDateConstraint(start_date=(now - timedelta(days=3)).date())
    variant = PriceVariant({"service_tier": "flex"}, flat(1, 5), since)
    listed(monkeypatch, model_of(flat(2), price_variants=[variant]))
    price_book.seed(now)
    [(at, usd)] = mine(Tier.FLEX)
    assert (at.date(), usd) == (since.start_date, 1)
    assert mine(Tier.PRIORITY) == []


def at_night(prices):
    hours = TimeOfDateConstraint(
        datetime(2026, 1, 1, 0, tzinfo=UTC).timetz(), datetime(2026, 1, 1, 8, tzinfo=UTC).timetz()
    )
    return [ConditionalPrice(prices=flat(2)), ConditionalPrice(hours, prices=prices)]


def stepped(*steps):
    tiers = [Step(start=start, price=Decimal(price)) for start, price in steps]
    return TieredPrices(base=Decimal(2), tiers=tiers)


@pytest.mark.parametrize(
    "prices",
    [
        at_night(flat(1)),
        ModelPrice(input_mtok=stepped((10, 3), (20, 4)), output_mtok=Decimal(1)),
        ModelPrice(input_mtok=stepped((10, 4)), cache_read_mtok=Decimal(1), output_mtok=Decimal(1)),
    ],
)
def test_what_a_row_cannot_hold_is_left_out_and_said(monkeypatch, caplog, now, prices):
    listed(monkeypatch, model_of(prices))
    price_book.seed(now)
    assert mine() == []
    assert "no price of mine (default) is taken over" in caplog.text


def test_models_that_are_paid_by_more_than_text_are_left_out():
    for name in ("gpt-realtime", "gpt-image-2", "whisper-1", "text-embedding-3-small", "tts-1"):
        assert not Price.objects.filter(model=name).exists(), name


def test_fees_that_differ_by_model_are_kept_by_model(monkeypatch, empty, now):
    paid = ModelPrice(web_searches_kcount=Decimal(25), **vars(flat(2)))
    other = ModelInfo(
        id="other",
        match=ClauseEquals("other"),
        prices=ModelPrice(web_searches_kcount=Decimal(10), **vars(flat(2))),
    )
    listed(monkeypatch, model_of(paid), other)
    price_book.seed(now)
    found = ToolFee.objects.values_list("tool", "model", "usd")
    assert set(found) == {
        ("web_search_call", "mine", Decimal("0.025")),
        ("web_search_call", "other", Decimal("0.01")),
    }


# The command ---------------------------------------------------------------------------------------


def test_the_book_is_listed(shell):
    said = shell("prices", "--model", "gpt-5.6-terra")
    assert said.code == 0
    assert "gpt-5.6-terra" in said.out and "above 272,000 ×2, ×1.5" in said.out
    assert "2020-01-01" not in said.out
    assert "2020-01-01" in shell("prices", "--model", "gpt-5.6-terra", "--all").out
    document = shell("prices", "--model", "gpt-5-mini", "--json").json
    assert {row["tier"] for row in document["prices"]} >= {"default", "flex", "priority", "batch"}
    assert document["prices"][0]["source"].startswith("genai-prices")
    assert document["fees"] == []


def test_an_empty_book_says_how_to_fill_it(shell, empty):
    said = shell("prices")
    assert said.code == 0 and "prices seed" in said.err
    assert shell("prices", "seed", "--json").json == {
        "prices": Price.objects.count(),
        "fees": ToolFee.objects.count(),
    }
    assert shell("prices", "seed").out == "New: 0 prices, 0 fees of tools.\n"


def test_setup_fills_the_book(shell, settings, empty):
    settings.DEBUG = True
    assert shell("setup").code == 0
    assert Price.objects.exists() and ToolFee.objects.exists()


# The admin -----------------------------------------------------------------------------------------


@pytest.fixture
def root(client):
    user = UserFactory(username="root", is_staff=True, is_superuser=True)
    client.force_login(user)
    return user


def said(response):
    return [str(message) for message in get_messages(response.wsgi_request)]


def form_of(response):
    """What a browser would post back."""
    found = {}
    for field in response.context["adminform"].form:
        if field.name == "effective_from":
            at = field.value()
            found |= {f"effective_from_{n}": "" for n in (0, 1)}
            if at:
                found |= {"effective_from_0": f"{at:%Y-%m-%d}", "effective_from_1": f"{at:%H:%M}"}
        else:
            found[field.html_name] = "" if field.value() is None else field.value()
    return found


ADD, LIST = "admin:jobs_price_add", "admin:jobs_price_changelist"


def change_of(row, verb="change"):
    return reverse(f"admin:jobs_{row._meta.model_name}_{verb}", args=[row.pk])


def test_a_price_in_effect_is_read_and_a_new_one_is_begun_from_it(client, root, now):
    row = Price.objects.filter(model="gpt-5.4", tier="default").get()
    page = client.get(change_of(row))
    text = page.content.decode()
    assert "never changes" in text and 'name="_save"' not in text and "deletelink" not in text
    assert f"{reverse(ADD)}?from={row.pk}" in text
    form = form_of(client.get(f"{reverse(ADD)}?from={row.pk}"))
    assert (form["model"], form["input"], form["long_context_above"]) == ("gpt-5.4", "2.5", 272000)
    assert form["source"] == "" and form["effective_from_0"] == ""
    answer = client.post(reverse(ADD), form | {"input": "2", "source": "Our contract"})
    assert answer.status_code == 302
    new = Price.objects.rate(model="gpt-5.4", tier="", at=timezone.now())
    assert (new.input, new.cached_input, new.source) == (2, row.cached_input, "Our contract")
    assert now <= new.effective_from <= timezone.now()
    assert Price.objects.rate(model="gpt-5.4", tier="", at=now) == row
    assert new.history.get().history_user == root


@pytest.mark.parametrize("verb", ["change", "delete"])
def test_a_price_that_came_into_effect_meanwhile_is_refused_with_a_sentence(client, root, verb):
    row = Price.objects.filter(model="gpt-5.4", tier="default").get()
    answer = client.post(change_of(row, verb), {"post": "yes", "input": "1"})
    assert (answer.status_code, answer.url) == (302, change_of(row))
    assert "never changes" in said(answer)[0]
    assert Price.objects.get(pk=row.pk).input == row.input


def test_a_price_of_the_future_is_edited_and_deleted(client, root, now):
    row = stored(effective_from=now + timedelta(days=3))
    form = form_of(client.get(change_of(row)))
    assert client.post(change_of(row), form | {"output": "7"}).status_code == 302
    assert Price.objects.get(pk=row.pk).output == 7
    assert "Changed" in client.get(change_of(row, "history")).content.decode()
    assert client.post(change_of(row, "delete"), {"post": "yes"}).status_code == 302
    assert not Price.objects.filter(pk=row.pk).exists()


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"effective_from_0": "2026-01-01", "effective_from_1": "00:00"}, "effective_from"),
        ({"input": "-1"}, "input"),
        ({"long_context_above": ""}, "__all__"),
        ({"tier": "scale"}, "tier"),
        ({"model": ""}, "model"),
    ],
)
def test_a_price_that_cannot_be_is_refused_beside_its_field(client, root, changes, field):
    row = Price.objects.filter(model="gpt-5.4", tier="default").get()
    form = form_of(client.get(f"{reverse(ADD)}?from={row.pk}"))
    answer = client.post(reverse(ADD), form | changes)
    assert answer.status_code == 200
    assert field in answer.context["adminform"].form.errors


def test_what_costs_nothing_by_itself_gets_no_fee(client, root):
    form = {"tool": "Function_Call", "usd": "1", "effective_from_0": "", "effective_from_1": ""}
    answer = client.post(reverse("admin:jobs_toolfee_add"), form)
    assert "costs nothing by itself" in answer.content.decode()
    form["tool"] = "code_interpreter_call"
    assert client.post(reverse("admin:jobs_toolfee_add"), form).status_code == 302
    assert ToolFee.objects.get(tool="code_interpreter_call").usd == 1


def listed_on(client, **asked):
    answer = client.get(reverse(LIST), asked)
    assert answer.status_code == 200
    return {(row.model, row.input) for row in answer.context["cl"].result_list}


def test_prices_are_filtered_by_model_tier_and_whether_they_count(client, root, now):
    stored(effective_from=now - timedelta(days=2), input=1)
    stored(effective_from=now - timedelta(days=1), input=2)
    stored(effective_from=now + timedelta(days=1), input=3)
    stored(effective_from=now, tier=Tier.FLEX, input=4)
    assert {usd for _model, usd in listed_on(client, model="mine")} == {1, 2, 3, 4}
    assert listed_on(client, model="mine", counts="before") == {("mine", 1)}
    assert listed_on(client, model="mine", counts="now") == {("mine", 2), ("mine", 4)}
    assert listed_on(client, counts="later") == {("mine", 3)}
    assert listed_on(client, model="mine", tier__exact="flex") == {("mine", 4)}
    text = client.get(reverse(LIST), {"model": "mine"}).content.decode()
    assert "in effect" in text and "no longer" in text and "in the future" in text
    assert "unknown" in text and "$2" in text


def test_a_type_whose_model_has_no_price_says_that_its_cost_will_be_unknown(client, root):
    job_type = JobTypeFactory(version__model="of-tomorrow")
    assert any("cost will be unknown" in sentence for sentence in misgivings(job_type))
    url = reverse("admin:jobs_jobtype_change", args=[job_type.pk])
    assert "no price for of-tomorrow" in client.get(url).content.decode()
    stored(model="of-tomorrow", effective_from=EARLY)
    assert "no price for" not in client.get(url).content.decode()
    served = JobTypeFactory(version__model="of-tomorrow", version__options={"service_tier": "flex"})
    assert any("in the tier “flex”" in sentence for sentence in misgivings(served))


# What an answer is charged ------------------------------------------------------------------------


def test_an_answer_is_priced_by_when_its_request_was_sent_and_by_its_own_count(now):
    stored(model="mine", effective_from=now - timedelta(days=2))
    stored(model="mine", effective_from=now - timedelta(hours=1), input=3)
    job = JobFactory(now=now - timedelta(hours=2))
    start(job, now=now - timedelta(hours=2))
    searches = {"web_search": {"num_requests": 3}, "image_gen": {}}
    said = {"model": "mine-2026-09-09", "usage": usage(1_000_000, 0), "tool_usage": searches}
    finish(job, "completed", now=now, **said)
    job.refresh_from_db()
    assert job.cost_usd == job.attempts.get().cost_usd == Decimal("2.03")
    stored(model="mine", effective_from=now - timedelta(hours=3), input=9)
    job.refresh_from_db()
    assert job.cost_usd == Decimal("2.03"), "what is stored stays"


def test_more_steps_than_are_read_are_not_charged_as_if_they_were_all(now):
    search = {"type": "web_search_call", "status": "completed", "action": {"type": "search"}}
    costs = []
    for number in (evidence.MOST_TOOL_USES, evidence.MOST_TOOL_USES + 1):
        job = JobFactory(now=now)
        start(job, now=now)
        finish(job, "completed", now=now, output=[search] * number)
        job.refresh_from_db()
        costs.append(job.cost_usd)
    assert costs[0] is not None and costs[0] > 10
    assert costs[1] is None


# Cost per completed job ----------------------------------------------------------------------------


@pytest.fixture
def workspace():
    return WorkspaceFactory(slug="here")


@pytest.fixture
def kind():
    return JobTypeFactory(name="Digest", review=Review.NEVER)


def settled(workspace, kind, now, *costs, to=Status.COMPLETED):
    """A job that settled after as many attempts as there are costs; None is an unknown one."""
    job = JobFactory(workspace=workspace, job_type=kind, now=now)
    for number, _cost in enumerate(costs, 1):
        start(job, now=now)
        last = number == len(costs)
        ended = "completed" if last and to == Status.COMPLETED else "failed"
        error = {} if ended == "completed" else {"error": {"code": "no", "message": "No."}}
        finish(job, ended, now=now, **error)
        if not last:
            decide(job.pk, Ask(Ruling.RETRY, job.requester, now))
    for attempt, cost in zip(job.attempts.order_by("number"), costs, strict=True):
        Attempt.objects.filter(pk=attempt.pk).update(cost_usd=cost)
        attempt.turns.update(cost_usd=cost)
    total = None if None in costs else sum(Decimal(cost) for cost in costs)
    Job.objects.filter(pk=job.pk).update(cost_usd=total)
    job.refresh_from_db()
    assert job.status == to
    return job


def test_what_failed_and_was_retried_is_charged_to_what_completed(workspace, kind, now):
    since = now - timedelta(days=1)
    settled(workspace, kind, now, "0.10")
    settled(workspace, kind, now, "0.05", "0.02", "0.10")
    settled(workspace, kind, now, "0.03", to=Status.FAILED)
    settled(workspace, kind, since - timedelta(seconds=1), "9")
    settled(workspace, JobTypeFactory(review=Review.NEVER), now, "9")
    spent = spending(kind, since=since)
    assert spent == Spending(2, Decimal("0.30"), Decimal("0.10"), 0)
    assert spent.per_completed_usd == Decimal("0.15") and not spent.is_at_least


def test_spending_is_that_of_the_workspaces_asked_for(workspace, kind, now):
    elsewhere = WorkspaceFactory()
    settled(workspace, kind, now, "0.10")
    settled(elsewhere, kind, now, "0.30")
    since = now - timedelta(days=1)
    assert spending(kind, [workspace.pk], since=since).total_usd == Decimal("0.10")
    assert spending(kind, [], since=since).is_empty
    assert spending(kind, since=since).total_usd == Decimal("0.40")
    [(found, spent)] = spending_by_type(elsewhere, since=since)
    assert (found, spent.total_usd) == (kind, Decimal("0.30"))


def test_where_a_cost_is_unknown_it_is_at_least_what_is_known(workspace, kind, now):
    settled(workspace, kind, now, "0.10")
    settled(workspace, kind, now, "0.04", None)
    settled(workspace, kind, now, None, to=Status.FAILED)
    spent = spending(kind, since=now - timedelta(days=1))
    assert spent == Spending(2, Decimal("0.14"), Decimal("0.04"), 2)
    assert spent.is_at_least and spent.per_completed_usd == Decimal("0.07")


def test_of_an_attempt_with_an_unknown_turn_what_is_known_counts(workspace, kind, now):
    job = settled(workspace, kind, now, None)
    Turn.objects.create(
        attempt=job.attempts.get(),
        number=2,
        sent_at=now,
        ended_at=now,
        response_id="resp_second",
        cost_usd=Decimal("0.06"),
    )
    spent = spending(kind, since=now - timedelta(days=1))
    assert spent == Spending(1, Decimal("0.06"), Decimal(0), 1)


def test_nothing_completed_has_no_cost_per_completed_job(workspace, kind, now):
    settled(workspace, kind, now, "0.03", to=Status.FAILED)
    spent = spending(kind, since=now - timedelta(days=1))
    assert spent.per_completed_usd is None and spent.wasted_usd == Decimal("0.03")


def test_all_unknown_is_unknown_and_not_zero(workspace, kind, now):
    settled(workspace, kind, now, None)
    spent = spending(kind, since=now - timedelta(days=1))
    assert (spent.completed, spent.unknown, spent.per_completed_usd) == (1, 1, None)


def test_what_was_never_sent_cost_nothing_and_what_was_never_answered_is_unknown(
    workspace, kind, now
):
    JobFactory(workspace=workspace, job_type=kind, now=now, status=Status.CANCELED)
    since = now - timedelta(days=1)
    assert spending(kind, since=since).unknown == 0
    on_its_way = JobFactory(workspace=workspace, job_type=kind, now=now)
    Turn.objects.filter(attempt__job=on_its_way).update(sent_at=now)
    decide(on_its_way.pk, Ask(Ruling.CANCEL, on_its_way.requester, now))
    on_its_way.refresh_from_db()
    assert (on_its_way.status, on_its_way.started_at) == (Status.CANCELED, None)
    assert spending(kind, since=since).unknown == 1
    lost = JobFactory(workspace=workspace, job_type=kind, now=now)
    become_unknown(lost, now=now)
    lapses.unknown_wait_over(last_turn(lost).pk, now=now + timedelta(minutes=5))
    assert spending(kind, since=since).unknown == 2


def test_a_canceled_job_is_charged_as_well(workspace, kind, now):
    settled(workspace, kind, now, "0.10")
    job = JobFactory(workspace=workspace, job_type=kind, now=now)
    start(job, now=now)
    decide(job.pk, Ask(Ruling.CANCEL, job.requester, now))
    finish(job, "completed", now=now)
    job.refresh_from_db()
    assert job.status == Status.CANCELED and job.attempts.get().state == State.SUCCEEDED
    spent = spending(kind, since=now - timedelta(days=1))
    assert spent.wasted_usd == job.cost_usd > 0
    assert spent.per_completed_usd == Decimal("0.10") + job.cost_usd


def test_spending_takes_four_queries_however_much_there_is(
    workspace, kind, now, django_assert_num_queries
):
    for _ in range(3):
        settled(workspace, kind, now, "0.05", None)
    with django_assert_num_queries(4):
        spending_by_type(workspace, since=now - timedelta(days=1))


def test_the_operations_page_shows_it_by_type(client, workspace, kind, now):
    overview.kept.clear()
    settled(workspace, kind, now, "0.10")
    settled(workspace, kind, now, "0.04", None)
    operator = UserFactory(workspace=workspace, roles=[Role.OPERATOR])
    client.force_login(operator)
    text = " ".join(client.get("/w/here/operations/").content.decode().split())
    assert "Cost per completed job" in text
    assert '<th scope="row">Digest</th>' in text and "at least $0.07" in text
    elsewhere = WorkspaceFactory(slug="elsewhere")
    client.force_login(UserFactory(workspace=elsewhere, roles=[Role.OPERATOR]))
    assert "Digest" not in client.get("/w/elsewhere/operations/").content.decode()


def per_completed(client, job_type):
    """What the admin's page of a type says."""
    page = client.get(reverse("admin:jobs_jobtype_change", args=[job_type.pk])).content.decode()
    return re.search(r"<strong>([^<]*[$][^<]*)</strong>", page)[1].strip()


def test_the_admins_page_of_a_type_shows_what_its_readers_may_see(
    client, root, workspace, kind, now
):
    settled(workspace, kind, now, "0.10")
    settled(WorkspaceFactory(), kind, now, "0.30")
    assert per_completed(client, kind) == "$0.20"
    settled(workspace, kind, now, None, to=Status.FAILED)
    assert per_completed(client, kind) == "at least $0.20"


def test_staff_see_the_spending_of_their_own_workspaces_alone(client, workspace, kind, now):
    settled(workspace, kind, now, "0.10")
    settled(WorkspaceFactory(), kind, now, "0.30")
    stan = UserFactory(workspace=workspace, roles=[Role.ADMIN], is_staff=True)
    stan.user_permissions.set(Permission.objects.all())
    client.force_login(stan)
    assert per_completed(client, kind) == "$0.10"


# Money ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("usd", "text"),
    [
        (None, "unknown"),
        (Decimal(0), "$0.00"),
        (Decimal("0.000001"), "under $0.0001"),
        (Decimal("0.0001"), "$0.0001"),
        (Decimal("0.0042"), "$0.0042"),
        (Decimal("0.01"), "$0.01"),
        (Decimal("1234.5"), "$1,234.50"),
    ],
)
def test_small_amounts_are_told_from_none(usd, text):
    assert money(usd) == text
