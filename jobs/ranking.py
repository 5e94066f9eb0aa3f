"""Which passages of a library fit the words of a search best: BM25, as far as a bounded number of
rows tells."""

import heapq
import math
from collections import defaultdict
from collections.abc import Sequence

from jobs import words
from jobs.models import LibraryDocument, LibraryTerm, Workspace

#: A document, and the position of a passage in it.
Place = tuple[int, int]

#: How far documents are counted.
MOST_COUNTED = 10_000
#: Documents that the words of one search are looked for in together, the newest first for each. The
#: rarest word always is.
MOST_DOCUMENTS = 4_000
#: Passages of one document that a search answers.
PER_DOCUMENT = 3
#: How soon more of the same word in a passage stops counting: the k1 of BM25. Passages are of one
#: length, so that there is no b.
SATURATION = 1.2


def best(workspace: Workspace, wanted: Sequence[str], limit: int) -> dict[Place, float]:
    """The `limit` best places with their scores, at most `PER_DOCUMENT` of a document; of equals,
    those of newer documents and those that come first."""
    scores = _scores(workspace, wanted)
    # Whatever is among the best is in one of the documents that have the best.
    leading = heapq.nlargest(limit, ((max(of.values()), pk) for pk, of in scores.items()))
    ranked: list[tuple[float, int, int]] = []
    for _score, document in leading:
        inside = scores[document].items()
        found = ((score, document, -int(place)) for place, score in inside)
        ranked += heapq.nlargest(PER_DOCUMENT, found)
    chosen = heapq.nlargest(limit, ranked)
    return {(document, -place): score for score, document, place in chosen}


def _scores(workspace: Workspace, wanted: Sequence[str]) -> dict[int, dict[str, float]]:
    """By document and passage, how well it fits. The words of a title or of a file's name count for
    the passages found in its document, or for the first where there are none."""
    held = LibraryDocument.objects.filter(workspace=workspace).held().order_by()
    among = held[:MOST_COUNTED].count()
    scores: dict[int, dict[str, float]] = defaultdict(dict)
    for term, number in _rarest_first(workspace, wanted):
        weight = math.log(1 + (max(among, number) - number + 0.5) / (number + 0.5))
        rows = LibraryTerm.objects.filter(workspace=workspace, term=term).order_by("-document_id")
        for document, places in rows.values_list("document_id", "places")[:number]:
            inside = scores[document]
            for place, count in words.unpacked(places):
                part = count * (SATURATION + 1) / (count + SATURATION)
                inside[place] = inside.get(place, 0.0) + weight * part
    for inside in scores.values():
        if title := inside.pop(words.TITLE, 0.0):
            for place in inside or ["1"]:
                inside[place] = inside.get(place, 0.0) + title
    return scores


def _rarest_first(workspace: Workspace, wanted: Sequence[str]) -> list[tuple[str, int]]:
    """The words that there are, with the number of documents that each is in; as many as may be
    looked at. Those left out are in many documents, and tell little."""
    numbers = []
    for term in wanted:
        rows = LibraryTerm.objects.filter(workspace=workspace, term=term).order_by("-document_id")
        numbers.append((rows.values("document_id")[:MOST_DOCUMENTS].count(), term))
    kept: list[tuple[str, int]] = []
    seen = 0
    for number, term in sorted(numbers):
        if number and (not kept or seen + number <= MOST_DOCUMENTS):
            kept.append((term, number))
            seen += number
    return kept
