"""What an attempt cost, from the usage that came with it."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.costs import cost_usd
from jobs.evidence import ToolUse
from tests.anything import anything
from tests.payloads import usage

MODEL = "gpt-5.6-terra"  # $2 and $12 per million tokens
MILLION = 1_000_000


def used(kind):
    return ToolUse(kind, "", "completed", "", {})


def test_tokens_are_priced_by_the_model():
    assert cost_usd(usage(100_000, 50_000), model=MODEL, tier="default") == Decimal("0.800000")


def test_a_dated_snapshot_costs_what_its_model_costs():
    dated = cost_usd(usage(), model=f"{MODEL}-2026-07-01", tier="")
    assert dated == cost_usd(usage(), model=MODEL, tier="")


def test_a_tier_has_its_own_price():
    plain = cost_usd(usage(), model=MODEL, tier="default")
    assert cost_usd(usage(), model=MODEL, tier="flex") == plain / 2
    assert cost_usd(usage(), model=MODEL, tier="priority") == plain * 2


def test_cached_input_is_cheaper():
    details = {"cached_tokens": 900, "cache_write_tokens": 0}
    cached = usage() | {"input_tokens_details": details}
    assert cost_usd(cached, model=MODEL, tier="") < cost_usd(usage(), model=MODEL, tier="")


def test_nothing_used_costs_nothing():
    assert cost_usd(usage(0, 0), model=MODEL, tier="") == 0


@pytest.mark.parametrize("model", ["", "a-model-of-tomorrow", "claude-opus-4"])
def test_a_model_that_is_not_known_has_no_price(model):
    assert cost_usd(usage(), model=model, tier="") is None


@pytest.mark.parametrize("nothing", [None, {}, {"input_tokens": 10}, {"output_tokens": 10}])
def test_without_usage_nobody_knows(nothing):
    assert cost_usd(nothing, model=MODEL, tier="") is None


def test_searches_are_paid_by_the_call():
    plain = cost_usd(usage(), model=MODEL, tier="")
    searched = [used("web_search_call")] * 2
    assert cost_usd(usage(), model=MODEL, tier="", tool_uses=searched) - plain == Decimal("0.02")
    looked_up = [used("file_search_call")]
    assert cost_usd(usage(), model=MODEL, tier="", tool_uses=looked_up) > plain


@pytest.mark.parametrize(
    "kind", ["code_interpreter_call", "image_generation_call", "computer_call"]
)
def test_a_tool_whose_fee_is_not_known_makes_the_whole_unknown(kind):
    assert cost_usd(usage(), model=MODEL, tier="", tool_uses=[used(kind)]) is None


def test_a_tool_without_a_fee_changes_nothing():
    plain = cost_usd(usage(), model=MODEL, tier="")
    assert cost_usd(usage(), model=MODEL, tier="", tool_uses=[used("function_call")]) == plain


@pytest.mark.parametrize(
    ("input_tokens", "output_tokens"),
    [(-5, 1), (5, -1), (True, 1), (1.5, 1), ("10", 1), (10**15, 1), (10**30, 1), (1, 10**40)],
)
def test_usage_that_cannot_be_true_has_no_price(input_tokens, output_tokens):
    said = usage() | {"input_tokens": input_tokens, "output_tokens": output_tokens}
    assert cost_usd(said, model=MODEL, tier="") is None


@given(
    st.dictionaries(
        st.sampled_from(["input_tokens", "output_tokens", "input_tokens_details"]),
        anything
        | st.fixed_dictionaries({"cached_tokens": anything, "cache_write_tokens": anything}),
    ),
    st.sampled_from([MODEL, "gpt-5", "o3-deep-research"]) | st.text(),
    st.sampled_from(["", "default", "flex"]) | st.text(),
)
def test_no_usage_whatsoever_raises_or_gives_a_cost_that_cannot_be_stored(used, model, tier):
    cost = cost_usd(used, model=model, tier=tier)
    assert cost is None or (0 <= cost < MILLION and cost == round(cost, 6))
