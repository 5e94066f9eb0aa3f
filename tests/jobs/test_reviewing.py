"""Which results a person sees first: the rules of job types, as a table and as laws."""

from dataclasses import replace
from decimal import Decimal
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs import reviewing
from jobs.models import JobType, Review, Role
from jobs.reviewing import RECORD, Approvals, Facts, draw, share, usd

#: Nothing about it asks for anybody: whatever rule is on.
FINE = Facts(
    citations=3,
    cost=Decimal("0.10"),
    before=1_000,
    roles=frozenset({Role.LEAD}),
    draw=0.999,
)
#: Every rule is on.
STRICT = {
    "review_on_violations": True,
    "review_without_citations": True,
    "review_cost_over": Decimal(1),
    "review_tools": ["web_search", "send_email"],
    "review_first": 20,
    "review_roles": [Role.REQUESTER],
}


def rules(**fields):
    return JobType(**{"review": Review.RULES, "review_on_warnings": False, **fields})


def codes(*types, **facts):
    return [reason.code for reason in reviewing.reasons(types, replace(FINE, **facts))]


def text(job_type, **facts):
    (reason,) = reviewing.reasons([job_type], replace(FINE, **facts))
    return reason.text


@pytest.mark.parametrize(
    ("review", "warnings", "incomplete", "expected"),
    [
        (Review.ALWAYS, 0, False, ["always"]),
        (Review.ALWAYS, 1, False, ["always", "warnings"]),
        (Review.ALWAYS, 0, True, ["incomplete", "always"]),
        (Review.RULES, 0, False, []),
        (Review.RULES, 1, False, ["warnings"]),
        (Review.RULES, 0, True, ["incomplete"]),
        (Review.SAMPLED, 0, False, []),
        (Review.SAMPLED, 1, False, []),
        (Review.SAMPLED, 0, True, ["incomplete"]),
        (Review.NEVER, 0, False, []),
        (Review.NEVER, 1, False, []),
        (Review.NEVER, 0, True, ["incomplete"]),
    ],
)
def test_each_kind_of_type_asks_for_a_person(review, warnings, incomplete, expected):
    job_type = JobType(review=review)
    assert codes(job_type, warnings=warnings, incomplete=incomplete) == expected


@pytest.mark.parametrize("review", Review)
def test_what_a_reviewer_sent_back_comes_back_to_a_reviewer(review):
    assert codes(JobType(review=review), sent_back=True)[0] == "sent_back"
    assert "sent_back" not in codes(JobType(review=review))


@pytest.mark.parametrize(
    ("rule", "facts", "expected"),
    [
        ({"review_on_warnings": True}, {"warnings": 2}, "There are 2 warnings."),
        ({"review_on_warnings": True}, {"warnings": 1}, "There is a warning."),
        ({"review_on_warnings": True}, {}, None),
        ({}, {"warnings": 2}, None),
        (
            {"review_on_violations": True},
            {"fits_schema": False},
            "It was not found to fit its output schema.",
        ),
        ({"review_on_violations": True}, {"warnings": 5}, None),
        ({}, {"fits_schema": False}, None),
        ({"review_without_citations": True}, {"citations": 0}, "It cites nothing."),
        ({"review_without_citations": True}, {"citations": 1}, None),
        ({}, {"citations": 0}, None),
        (
            {"review_cost_over": Decimal("1.00")},
            {"cost": Decimal("1.20")},
            "It cost $1.20, over the limit of $1.00.",
        ),
        (
            {"review_cost_over": Decimal("1.00")},
            {"cost": Decimal("1.000001")},
            "It cost $1.000001, over the limit of $1.00.",
        ),
        ({"review_cost_over": Decimal("1.00")}, {"cost": Decimal("1.00")}, None),
        (
            {"review_cost_over": Decimal("1.00")},
            {"cost": None},
            "What it cost is unknown, and the limit is $1.00.",
        ),
        (
            {"review_cost_over": Decimal(0)},
            {"cost": Decimal("0.0001")},
            "It cost $0.0001, over the limit of $0.00.",
        ),
        ({"review_cost_over": Decimal(0)}, {"cost": Decimal(0)}, None),
        ({}, {"cost": None}, None),
        (
            {"review_tools": ["web_search", "send_email"]},
            {"tools": frozenset({"web_search_call", "reasoning"})},
            "It asked for tools whose use is reviewed: Web search.",
        ),
        (
            {"review_tools": ["web_search", "send_email"]},
            {"tools": frozenset({"function_call", "send_email"})},
            "It asked for tools whose use is reviewed: send_email.",
        ),
        (
            {"review_tools": ["shell"]},
            {"tools": frozenset({"local_shell_call"})},
            "It asked for tools whose use is reviewed: Shell.",
        ),
        ({"review_tools": ["web_search"]}, {"tools": frozenset({"file_search_call"})}, None),
        (
            {"review_tools": ["web_search"]},
            {"seen_whole": False},
            "Not all that it did is known, and the use of tools is reviewed.",
        ),
        ({}, {"tools": frozenset({"web_search_call"}), "seen_whole": False}, None),
        (
            {"review_first": 20},
            {"before": 19},
            "The first 20 results of a prompt version are reviewed, and this is one of them.",
        ),
        (
            {"review_first": 1},
            {"before": 0},
            "The first result of a prompt version is reviewed, and this is it.",
        ),
        ({"review_first": 20}, {"before": 20}, None),
        ({"review_first": 0}, {"before": 0}, None),
        (
            {"review_roles": ["requester", "operator"]},
            {"roles": frozenset({Role.REQUESTER})},
            "It is reviewed for the roles of whoever asked for it: Requester.",
        ),
        (
            {"review_roles": ["requester"]},
            {"roles": frozenset()},
            "It is reviewed for the roles of whoever asked for it: none.",
        ),
        ({"review_roles": ["requester"]}, {"roles": frozenset({Role.REQUESTER, Role.LEAD})}, None),
        ({}, {"roles": frozenset({Role.REQUESTER})}, None),
        (
            {"review_share": 12},
            {"draw": 0.1199},
            "It was drawn: 12% of the results that no rule asks about are reviewed.",
        ),
        (
            {"review": Review.SAMPLED, "review_share": 12},
            {"draw": 0.1199},
            "It was drawn: 12% of the results are reviewed.",
        ),
        ({"review": Review.SAMPLED, "review_share": 12}, {"draw": 0.12}, None),
        ({"review_share": 0}, {"draw": 0.0}, None),
        (
            {"review_share": 100},
            {"draw": 0.999},
            "It was drawn: 100% of the results that no rule asks about are reviewed.",
        ),
    ],
)
def test_each_rule_asks_for_what_it_says_in_a_sentence(rule, facts, expected):
    found = reviewing.reasons([rules(**rule)], replace(FINE, **facts))
    assert [reason.text for reason in found] == ([expected] if expected else [])


def test_what_a_rule_asks_for_is_not_drawn_as_well():
    job_type = rules(review_share=100, review_without_citations=True)
    assert codes(job_type, citations=0) == ["no_citations"]


def test_rules_do_not_hold_where_a_share_is_all_that_is_reviewed():
    job_type = JobType(review=Review.SAMPLED, **STRICT)
    assert codes(job_type, warnings=9, cost=None, citations=0, before=0) == []


def test_where_all_is_reviewed_the_rules_say_what_to_look_at():
    job_type = JobType(review=Review.ALWAYS, **STRICT)
    said = codes(job_type, warnings=1, cost=None, citations=0, before=0, draw=0.0)
    assert said == ["always", "warnings", "no_citations", "cost"]


# Follow-ups ---------------------------------------------------------------------------------------


def test_a_follow_up_is_reviewed_for_what_it_follows():
    own, always = JobType(review=Review.NEVER), JobType(review=Review.ALWAYS)
    (reason,) = reviewing.reasons([own, always], FINE)
    assert reason.text == "What it follows is always reviewed, and so is the answer."
    (reason,) = reviewing.reasons([always, own], FINE)
    assert reason.text == "Results of this type are always reviewed."


def test_the_rules_of_all_its_types_hold_together():
    own = rules(review_cost_over=Decimal(1))
    followed = rules(review_cost_over=Decimal(2), review_without_citations=True)
    drawn = JobType(review=Review.SAMPLED, review_share=100)
    said = codes(own, followed, drawn, cost=Decimal("1.50"), citations=0)
    assert said == ["cost", "no_citations", "drawn"]


def test_one_reason_is_said_once():
    assert codes(JobType(review=Review.RULES), JobType(review=Review.RULES), warnings=1) == [
        "warnings"
    ]


# Laws ---------------------------------------------------------------------------------------------

_approvals = st.builds(Approvals, st.integers(0, 60), st.integers(0, 60))
_facts = st.builds(
    Facts,
    incomplete=st.booleans(),
    sent_back=st.booleans(),
    warnings=st.integers(0, 3),
    fits_schema=st.booleans(),
    citations=st.integers(0, 2),
    cost=st.none() | st.decimals(0, 3, places=6),
    tools=st.frozensets(st.sampled_from(["web_search_call", "send_email", "reasoning"])),
    seen_whole=st.booleans(),
    before=st.integers(0, 30),
    roles=st.frozensets(st.sampled_from(list(Role)), max_size=3),
    approvals=_approvals,
    draw=st.floats(0, 1, exclude_max=True),
)


@st.composite
def _shares(draw):
    full = draw(st.integers(0, 100))
    adapts = draw(st.booleans()) and full > 0
    floor = draw(st.integers(1, full)) if adapts else 0
    return {
        "review_share": full,
        "review_share_adapts": adapts,
        "review_share_floor": floor,
    }


@st.composite
def _fields(draw):
    return {
        "review_on_warnings": draw(st.booleans()),
        "review_on_violations": draw(st.booleans()),
        "review_without_citations": draw(st.booleans()),
        "review_cost_over": draw(st.none() | st.decimals(0, 3, places=4)),
        "review_tools": draw(st.lists(st.sampled_from(["web_search", "send_email"]), unique=True)),
        "review_first": draw(st.integers(0, 30)),
        "review_roles": draw(st.lists(st.sampled_from(Role.values), unique=True)),
        **draw(_shares()),
    }


@given(_fields(), _facts)
def test_a_stricter_type_asks_whenever_a_laxer_one_does(fields, facts):
    asks = [bool(reviewing.reasons([JobType(review=one, **fields)], facts)) for one in Review]
    assert asks == sorted(asks, reverse=True), dict(zip(Review, asks, strict=True))
    assert asks[0]


@given(_fields(), _fields(), st.sampled_from(Review), st.sampled_from(Review), _facts)
def test_a_follow_up_is_reviewed_for_every_reason_of_either_type(one, two, mine, its, facts):
    own, followed = JobType(review=mine, **one), JobType(review=its, **two)
    together = {reason.code for reason in reviewing.reasons([own, followed], facts)}
    for alone in (own, followed):
        assert {reason.code for reason in reviewing.reasons([alone], facts)} <= together


@given(_fields(), st.sampled_from(Review), _facts)
def test_an_incomplete_answer_is_always_reviewed(fields, review, facts):
    facts = replace(facts, incomplete=True)
    found = reviewing.reasons([JobType(review=review, **fields)], facts)
    assert found[0].code == "incomplete"


@given(_fields(), st.sampled_from(Review), _facts)
def test_what_is_not_known_asks_at_least_as_much_as_what_is(fields, review, facts):
    job_type = JobType(review=review, **fields)
    known = {reason.code for reason in reviewing.reasons([job_type], facts)}
    unknown = replace(facts, cost=None, seen_whole=False, fits_schema=False, roles=frozenset())
    asked = {reason.code for reason in reviewing.reasons([job_type], unknown)}
    # What a rule asks for is not drawn as well.
    assert known - {"drawn"} <= asked and bool(asked) >= bool(known)


# The share ----------------------------------------------------------------------------------------

ADAPTS = {"review_share": 50, "review_share_adapts": True, "review_share_floor": 10}


@pytest.mark.parametrize(
    ("unchanged", "otherwise", "percent"),
    [
        (0, 0, 50),  # nothing is known
        (25, 0, 30),
        (50, 0, 10),
        (49, 1, 14),
        (45, 5, 30),
        (40, 10, 50),  # one in five
        (0, 50, 50),
        (5, 0, 46),
    ],
)
def test_the_share_falls_with_approvals_and_never_below_its_floor(unchanged, otherwise, percent):
    found = share(JobType(**ADAPTS), Approvals(unchanged, otherwise))
    assert found == pytest.approx(percent)


def test_a_share_that_does_not_adapt_stays():
    assert share(JobType(review_share=50, review_share_floor=10), Approvals(50, 0)) == 50


def test_the_share_that_was_drawn_is_in_the_reason():
    job_type = rules(**ADAPTS)
    said = text(job_type, draw=0.0, approvals=Approvals(47, 0))
    assert said.startswith("It was drawn: 12.4% of the results")


@given(_shares(), _approvals)
def test_the_share_stays_between_its_floor_and_its_top(fields, approvals):
    found = share(JobType(**fields), approvals)
    assert fields["review_share_floor"] <= found <= fields["review_share"]


@given(_shares(), st.integers(0, RECORD), st.integers(0, RECORD))
def test_one_more_approval_never_raises_the_share_and_one_more_change_never_lowers_it(
    fields, unchanged, otherwise
):
    job_type = JobType(**fields)
    here = share(job_type, Approvals(unchanged, otherwise))
    assert share(job_type, Approvals(unchanged + 1, otherwise)) <= here
    assert share(job_type, Approvals(unchanged, otherwise + 1)) >= here


# The draw -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("percent", [1, 10, 33, 50, 90])
def test_about_the_share_is_drawn(percent):
    job_type = JobType(review=Review.SAMPLED, review_share=percent)
    number = 20_000
    drawn = sum(
        bool(codes(job_type, draw=draw(UUID(int=n << 64 | 7 << 76), key="k")))
        for n in range(number)
    )
    # Five standard deviations; the ids are always the same.
    spread = 5 * (percent * (100 - percent) / 10_000 / number) ** 0.5
    assert drawn / number == pytest.approx(percent / 100, abs=spread)


@given(st.uuids(), st.text(min_size=1).filter(lambda key: key.isprintable()))
def test_a_draw_is_always_the_same_and_in_range(job_id, key):
    found = draw(job_id, key=key)
    assert found == draw(job_id, key=key) and 0 <= found < 1


def test_nobody_can_tell_a_draw_without_the_key():
    ids = [UUID(int=n) for n in range(200)]
    alike = sum((draw(one, key="k") < 0.5) == (draw(one, key="other") < 0.5) for one in ids)
    assert 60 < alike < 140


@pytest.mark.parametrize(
    ("amount", "said"),
    [
        ("0", "$0.00"),
        ("1.2", "$1.20"),
        ("1234.5", "$1,234.50"),
        ("0.0001", "$0.0001"),
        ("1.000001", "$1.000001"),
    ],
)
def test_amounts_that_differ_look_different(amount, said):
    assert usd(Decimal(amount)) == said


def test_each_kind_of_type_says_what_it_promises():
    assert len({review.promise for review in Review}) == len(Review)
