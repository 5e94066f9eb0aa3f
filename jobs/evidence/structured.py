"""Structured output: held against its schema, and its quotes looked up in the documents."""

import json
from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from typing import Any

from jsonschema import Draft202012Validator, ValidationError
from referencing import Registry

from jobs.evidence.parts import DocumentText, Source, Warned
from jobs.text import Searchable, clean, clipped, quoted

#: Violations listed one by one, and how many of the others are counted.
MOST_VIOLATIONS = 50
MOST_COUNTED = 1_000
MOST_QUOTES = 500


def structured(text: str, schema: Mapping[str, Any]) -> tuple[Any, list[Warned]]:
    try:
        value = clean(json.loads(text))
    except ValueError as error:
        return None, [Warned("not_json", f"The output is not the JSON that was asked for: {error}")]
    try:
        validator = Draft202012Validator(schema, registry=Registry())
        # A long list of errors costs more than its answer: the rest is not even counted.
        found = list(islice(validator.iter_errors(value), MOST_COUNTED + 1))
        violations = sorted(found, key=lambda violation: [_order(at) for at in violation.path])
    except RecursionError:
        raise
    except Exception as error:
        # A reference that leads nowhere, a pattern that is none, a number beyond all floats …
        why = clipped(clean(str(error)), 200)
        text = f"The output could not be held against its schema: {why}"
        return value, [Warned("schema_unusable", text)]
    warnings = [
        Warned(
            "schema_violation",
            clipped(f"{violation.json_path}: {violation.message}", 300),
            violation.json_path,
        )
        for violation in violations[:MOST_VIOLATIONS]
    ]
    if (rest := len(violations) - MOST_VIOLATIONS) > 0:
        more = f"more than {rest - 1}" if len(violations) > MOST_COUNTED else str(rest)
        warnings.append(Warned("schema_violation", f"… and {more} more violations.", "$"))
    return value, warnings


def path_of(at: Iterable[str | int]) -> str:
    """The JSON path of a place, as a violation there names it."""
    return str(ValidationError("", path=at).json_path)


def _order(at: str | int) -> tuple[bool, int, str]:
    return (False, at, "") if isinstance(at, int) else (True, 0, str(at))


def quotes(
    value: Any, documents: Sequence[DocumentText], *, turn: int
) -> tuple[list[Source], list[Warned]]:
    """The quotes that stand in the documents, and those that were looked up in vain."""
    searchable = [(document, Searchable.of(document.text)) for document in documents]
    found: list[Source] = []
    missing: list[Warned] = [
        Warned(
            "document_without_text",
            f"No text could be read in {document.name}, so quotes from it cannot be looked up.",
            document.name,
        )
        for document in documents
        if not document.text.strip()
    ]
    said = list(islice(quoted(value), MOST_QUOTES + 1))
    if len(said) > MOST_QUOTES:
        missing.append(Warned("cut", f"Only the first {MOST_QUOTES} quotes were looked up."))
    for path, quote, name in said[:MOST_QUOTES]:
        named = [pair for pair in searchable if pair[0].name.casefold() == name.casefold()]
        for document, text in named or searchable:
            if place := text.find(quote):
                start, end = place
                found.append(
                    Source(
                        "quote",
                        quote,
                        document.key,
                        path[:200],
                        start,
                        end,
                        title=document.name,
                        turn=turn,
                    )
                )
                break
        else:
            where = name if named else "any document"
            missing.append(
                Warned("quote_not_found", f"Not found in {where}: “{clipped(quote, 160)}”", path)
            )
    return found, missing
