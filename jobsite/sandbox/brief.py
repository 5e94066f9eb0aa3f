"""A research brief from the sandbox's own shelf: ten minutes of reading, instead of the web.

The shelf is the folder of short Markdown articles beside this module. The sandbox serves them as
pages under ``/shelf/``, so that a citation can be followed.
"""

from __future__ import annotations

import functools
import html
import math
import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .passages import condense, quotable, sections, split_sentences, terms

SHELF = Path(__file__).parent / "shelf"
ABOUT = "about-the-sandbox"
FOUND = 1.4  # the score from which a passage counts as found; by trial
ANSWERED = 0.4  # the share of a question that a passage must speak of to answer it; by trial


@dataclass(frozen=True, slots=True)
class Article:
    name: str
    title: str
    text: str
    sentences: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Passage:
    article: Article
    sentence: str
    score: float


@functools.cache
def shelf() -> dict[str, Article]:
    """The articles by name."""
    articles = {}
    for path in sorted(SHELF.glob("*.md")):
        text = path.read_text(encoding="utf-8")
        title, _, body = text.partition("\n")
        sentences = tuple(
            sentence
            for section in sections(body)
            for sentence in section.sentences
            if quotable(sentence)
        )
        articles[path.stem] = Article(path.stem, title.lstrip("# ").strip(), body, sentences)
    return articles


@functools.cache
def _rarity() -> dict[str, float]:
    """How telling each term is: rare on the shelf is telling."""
    articles = shelf().values()
    seen = Counter(
        term for article in articles for term in set(terms(f"{article.title} {article.text}"))
    )
    return {term: math.log(1 + len(articles) / count) for term, count in seen.items()}


def search(query: str, *, count: int = 3, share: float = 0.0) -> list[Passage]:
    """The best passages for a query, at most one of each article, best first.

    ``share`` is how much of the query a passage must cover, its words weighed by their rarity.
    """
    wanted = set(terms(query))
    rarity = _rarity()
    unknown = math.log(1 + len(shelf()))
    least = max(FOUND, share * sum(rarity.get(term, unknown) for term in wanted))
    best = []
    for article in shelf().values():
        title = set(terms(article.title))
        passages = [
            Passage(
                article,
                sentence,
                sum(rarity[term] for term in wanted & set(terms(sentence)))
                + 0.6 * sum(rarity[term] for term in wanted & title - set(terms(sentence))),
            )
            for sentence in article.sentences
        ]
        best.append(max(passages, key=lambda passage: passage.score))
    best.sort(key=lambda passage: -passage.score)
    return [passage for passage in best if passage.score >= least][:count]


def answers_to(question: str) -> list[Passage]:
    """Passages that answer a question; none if it names somebody or something not on the shelf."""
    named = re.findall(r"(?<=[a-z,] )[A-Z][\w-]+", question)
    if any(term not in _rarity() for name in named for term in terms(name)):
        return []
    return search(question, share=ANSWERED)


def questions_in(text: str) -> list[str]:
    """Every sentence that asks something, without list marks."""
    found = []
    for line in text.splitlines():
        clean = re.sub(r"^\s*(?:[-*+•]|\d+[.)])\s+", "", line).strip()
        found += [one for one in split_sentences(clean) if one.endswith("?") and len(one) > 8]
    return list(dict.fromkeys(found))


def place_of(tool: dict[str, Any]) -> str:
    """The approximate location that a search tool was given, in words; or ""."""
    location = tool.get("user_location") or {}
    named = (location.get(key) for key in ("city", "region", "country"))
    return ", ".join(str(part) for part in named if part) or str(location.get("timezone") or "")


@dataclass(frozen=True, slots=True)
class Brief:
    """``annotations`` are url_citation objects; their indexes count characters of ``text``,
    the end excluded."""

    text: str
    annotations: list[dict[str, Any]]
    queries: list[str]
    urls: list[str]


class _Writer:
    """Text under construction, that knows where its citations stand."""

    def __init__(self, shelf_url: str) -> None:
        self.shelf_url = shelf_url
        self.text = ""
        self.annotations: list[dict[str, Any]] = []

    def url(self, article: Article) -> str:
        return f"{self.shelf_url}/{article.name}"

    def add(self, text: str) -> None:
        self.text += text

    def cite(self, article: Article) -> None:
        start = len(self.text)
        self.text += f"([{article.title}]({self.url(article)}))"
        self.annotations.append(
            {
                "type": "url_citation",
                "start_index": start,
                "end_index": len(self.text),
                "url": self.url(article),
                "title": article.title,
            }
        )


def brief(text: str, *, topic: str, shelf_url: str, tool: dict[str, Any]) -> Brief:
    """A brief on what the text asks. ``shelf_url`` is where the articles are served."""
    questions = questions_in(text)
    place = place_of(tool)
    near = f" near {place}" if place else ""
    answers = {question: answers_to(question) for question in questions}
    general = search(f"{topic} {text}", count=4)
    cited = [passage for found in answers.values() for passage in found] + general
    about = shelf()[ABOUT]

    out = _Writer(shelf_url)
    out.add(f"# {topic}\n\n")
    out.add(
        "*This brief was made by the sandbox, a stand-in for the real model, from its own shelf of "
        f"{len(shelf())} short articles and not from the web.*\n\n"
    )
    if place:
        out.add(f"The search was set to this approximate location: {place}.\n\n")
    if (tool.get("filters") or {}).get("allowed_domains"):
        out.add("The filter by domain was not applied, because the shelf has only one.\n\n")

    out.add("## Short answer\n\n")
    if cited:
        lead = (general or cited)[0]
        out.add(f"{condense(lead.sentence, limit=300)} ")
        out.cite(lead.article)
    else:
        out.add("The shelf holds nothing on this subject. What it does hold is described here ")
        out.cite(about)
    out.add("\n\n## Findings\n\n")
    told = False
    for question, found in answers.items():
        if found:
            told = True
            out.add(f"- **{question}** ")
            for passage in found[:2]:
                out.add(f"{passage.sentence} ")
                out.cite(passage.article)
                out.add(" ")
            out.text = out.text.rstrip() + "\n"
    for passage in [] if told else general:
        told = True
        out.add(f"- {passage.sentence} ")
        out.cite(passage.article)
        out.add("\n")
    if not told:
        out.add("- Nothing was found.\n")

    missing = [question for question, found in answers.items() if not found]
    out.add("\n## Not found\n\n")
    if missing:
        out.add("".join(f"- {question}\n" for question in missing))
    elif not cited:
        out.add(f"- {topic}\n")
    elif questions:
        out.add("- Nothing: every question has a finding.\n")
    else:
        out.add("- The shelf cannot say more than this, and the web was not searched.\n")
    sources = list(dict.fromkeys(annotation["url"] for annotation in out.annotations))
    titles = {annotation["url"]: annotation["title"] for annotation in out.annotations}
    out.add("\n## Sources\n\n")
    out.add("".join(f"{n}. {titles[url]}: {url}\n" for n, url in enumerate(sources, 1)))
    queries = [f"{query.rstrip('?')}{near}" for query in (questions[:4] or [topic])]
    return Brief(out.text, out.annotations, queries, sources)


def page(article: Article) -> str:
    """An article as an HTML page."""
    paragraphs = []
    for block in re.split(r"\n\s*\n", article.text.strip()):
        text = html.escape(" ".join(block.split()))
        heading = text.startswith("## ")
        paragraphs.append(f"<h2>{text[3:]}</h2>" if heading else f"<p>{text}</p>")
    return _html(article.title, "\n".join(paragraphs))


def index() -> str:
    """The shelf as an HTML page of links."""
    links = "\n".join(
        f'<li><a href="/shelf/{article.name}">{html.escape(article.title)}</a></li>'
        for article in shelf().values()
    )
    return _html("The shelf", f"<ul>\n{links}\n</ul>")


def _html(title: str, body: str) -> str:
    title = html.escape(title)
    return (
        '<!doctype html>\n<html lang="en">\n<head><meta charset="utf-8">'
        f"<title>{title} · sandbox shelf</title>"
        "<style>body{font:17px/1.6 system-ui,sans-serif;max-width:38em;margin:3em auto;"
        "padding:0 1em;color-scheme:light dark}</style></head>\n"
        f"<body>\n<h1>{title}</h1>\n{body}\n</body>\n</html>\n"
    )
