"""Why jobs end badly, in plain words: one explanation per reason code. Pure."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Explanation:
    """What a reason code means, and what an operator does about it. `fault` is false where a
    person decided it, so that nothing is wrong."""

    text: str
    todo: str
    fault: bool = True


_KEY = "Check OPENAI_API_KEY and its project at OpenAI, then retry the jobs that failed."
_CREDIT = "Add credit or raise the limit at OpenAI, then retry the jobs that failed."
_PROMPT = "Read the newest one, then fix the prompt version of its job type."
_DOCUMENT = "Read the newest one; ask its requester for another file."
_WAIT = "Retry them. If it keeps happening, check status.openai.com."
_TYPE = "Look at the model and the tools of the job type's prompt version."

#: The key or the account is refused: nothing runs until somebody acts.
ACCOUNT = {
    "insufficient_quota": Explanation("The OpenAI account has no quota left.", _CREDIT),
    "credit_balance_exhausted": Explanation("The OpenAI account has no credit left.", _CREDIT),
    "organization_spend_limit_exceeded": Explanation(
        "The organization's spend limit at OpenAI is reached.", _CREDIT
    ),
    "project_spend_limit_exceeded": Explanation(
        "The project's spend limit at OpenAI is reached.", _CREDIT
    ),
    "organization_usage_limit_exceeded": Explanation(
        "The organization's usage limit at OpenAI is reached.", _CREDIT
    ),
    "billing_hard_limit_reached": Explanation("The hard limit at OpenAI is reached.", _CREDIT),
    "billing_not_active": Explanation("Billing is not active at OpenAI.", _CREDIT),
    "invalid_api_key": Explanation("OpenAI does not know the API key.", _KEY),
    "account_deactivated": Explanation("The OpenAI account is closed.", _KEY),
    "invalid_organization": Explanation("The key belongs to another organization.", _KEY),
    "insufficient_permissions": Explanation("The key may not do this at OpenAI.", _KEY),
    "missing_scope": Explanation("The key may not do this at OpenAI.", _KEY),
    "ip_not_authorized": Explanation("OpenAI does not accept this server's address.", _KEY),
    "unsupported_country_region_territory": Explanation(
        "OpenAI does not serve this server's country.", _KEY
    ),
    "http_401": Explanation("OpenAI refuses the API key.", _KEY),
    "http_403": Explanation("OpenAI refuses the account.", _KEY),
}

_OTHERS = {
    "server_error": Explanation("OpenAI had an error while working on the job.", _WAIT),
    "rate_limit_exceeded": Explanation(
        "OpenAI's rate limit was reached.", "Retry them later, or ask OpenAI for a higher limit."
    ),
    "vector_store_timeout": Explanation("OpenAI's file search took too long.", _WAIT),
    "invalid_prompt": Explanation("OpenAI did not accept the prompt.", _PROMPT),
    "bio_policy": Explanation("OpenAI's policy on biology forbids the request.", _PROMPT),
    "misalignment_policy_violation": Explanation(
        "OpenAI stopped it: the model was about to do something unintended.", _PROMPT
    ),
    "data_residency_mismatch": Explanation(
        "The request is not allowed in the region of the OpenAI project.", _TYPE
    ),
    "model_not_found": Explanation("OpenAI does not offer this model to the account.", _TYPE),
    "unsupported_parameter": Explanation("The model does not take a parameter.", _TYPE),
    "context_length_exceeded": Explanation(
        "The documents are too long for the model.", "Ask for less at once, or use another model."
    ),
    "incomplete": Explanation(
        "The answer was cut off before its end.", "Raise max_output_tokens of the job type."
    ),
    "lost_at_provider": Explanation("OpenAI no longer has the answer.", "Retry them."),
    "document_unusable": Explanation(
        "The request could not be made from the stored documents.", _DOCUMENT
    ),
    "submit_outcome_unknown": Explanation(
        "Nobody knows whether OpenAI started it: no answer came.",
        "Settle each, under To settle. A retry may pay for the same work twice.",
    ),
    "failed": Explanation("OpenAI ended it as failed and did not say why.", "Retry them."),
    "not_started": Explanation(
        "It had not started by its deadline.",
        "See whether the cluster and OpenAI keep up, then retry them.",
    ),
    "not_finished": Explanation(
        "It had not finished by its deadline.",
        "Give the job type more time (finish within), or retry them.",
    ),
    "review_overdue": Explanation(
        "Nobody reviewed it in time.", "Ask the reviewers, then retry them."
    ),
    "by_provider": Explanation("OpenAI canceled it without being asked.", "Retry them."),
    "rejected": Explanation("A reviewer rejected the result.", "Nothing to do.", fault=False),
    "canceled_by_person": Explanation("A person canceled it.", "Nothing to do.", fault=False),
}


def explain(code: str) -> Explanation:
    """What `code` means. For one that is not known here: that OpenAI said so."""
    known = ACCOUNT.get(code) or _OTHERS.get(code)
    if known:
        return known
    if "image" in code:
        return Explanation("OpenAI could not use an image.", _DOCUMENT)
    if code.startswith("http_4"):
        return Explanation(f"OpenAI refused the request ({code}).", _PROMPT)
    if code.startswith("http_5"):
        return Explanation(f"OpenAI had an error ({code}).", _WAIT)
    return Explanation(f"OpenAI said “{code}”.", "Read the newest one: it has OpenAI's sentence.")
