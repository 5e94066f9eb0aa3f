"""What is read out of an answer, as values; and how the parts of a payload are taken, whatever they
really are."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from jobs.evidence.files import InlineFile


@dataclass(frozen=True)
class Warned:
    """Something that a person should look at: a code, a sentence, and where it is."""

    code: str
    text: str
    path: str = ""

    def as_json(self) -> dict[str, str]:
        return {"code": self.code, "text": self.text, "path": self.path}


@dataclass(frozen=True)
class Source:
    """A citation. ``document`` is the key of the document that it is in, where that is known."""

    kind: str
    quote: str = ""
    document: Any = None
    path: str = ""
    start: int | None = None
    end: int | None = None
    url: str = ""
    title: str = ""
    raw: Mapping[str, Any] | None = None
    turn: int = 1


@dataclass(frozen=True)
class Part:
    """A piece of what a step did, as a page can show it.

    ``kind`` is "text", "code" (in ``language``) or "list" (of ``items``, which may be addresses);
    ``cut`` counts the characters, or the items, that are left out.
    """

    label: str
    kind: str = "text"
    text: str = ""
    items: tuple[str, ...] = ()
    language: str = ""
    cut: int = 0

    def as_json(self) -> dict[str, Any]:
        said = {
            "label": self.label,
            "kind": self.kind,
            "text": self.text,
            "items": list(self.items),
            "language": self.language,
            "cut": self.cut,
        }
        return {key: value for key, value in said.items() if value}


@dataclass(frozen=True)
class ToolUse:
    """A step on the way to the answer. ``kind`` is the provider's word, ``title`` ours."""

    kind: str
    name: str
    status: str
    summary: str
    raw: Mapping[str, Any]
    title: str = ""
    parts: tuple[Part, ...] = ()
    turn: int = 1


@dataclass(frozen=True)
class DocumentText:
    """A document as quotes are looked up in it. `key` comes back in `Source.document`."""

    key: Any
    name: str
    text: str


@dataclass(frozen=True)
class Evidence:
    """``usage`` is that of all turns together; ``own_usage`` that of the last alone, of which
    ``tool_uses`` has all steps unless they are ``cut``."""

    text: str = ""
    structured: Any = None
    sources: tuple[Source, ...] = ()
    tool_uses: tuple[ToolUse, ...] = ()
    files: tuple[InlineFile, ...] = ()
    warnings: tuple[Warned, ...] = ()
    usage: Mapping[str, Any] | None = None
    own_usage: Mapping[str, Any] | None = None
    cut: bool = False
    model: str = ""
    service_tier: str = ""

    @property
    def is_empty(self) -> bool:
        return not (self.says_something or self.tool_uses)

    @property
    def says_something(self) -> bool:
        """Whether there is a result: steps on the way to one are none."""
        return bool(self.text or self.structured or self.files)

    @property
    def content_hash(self) -> str:
        return content_hash(self.text, [file.sha256 for file in self.files])


def content_hash(text: str, files: Sequence[str]) -> str:
    """SHA-256 over what would leave the building: the text, and the hashes of the files.

    Structured output is read from the text, and is left out: databases store JSON numbers in
    their own way, and the hash must come out the same when it is made from the stored row.
    """
    return hashlib.sha256(json.dumps([text, *files]).encode()).hexdigest()


def a_dict(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def a_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def dicts(value: Any) -> list[dict[str, Any]]:
    return [item for item in a_list(value) if isinstance(item, dict)]


def texts(value: Any) -> list[str]:
    return [item for item in a_list(value) if isinstance(item, str) and item]


def a_text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def an_index(value: Any) -> int | None:
    """A place in a text, or a count: a whole number that is not negative."""
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None
