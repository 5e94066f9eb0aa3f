"""What a code interpreter does here: counts the words and numbers of documents, as a CSV file."""

from __future__ import annotations

import csv
import io
import re
import secrets
from dataclasses import dataclass
from typing import Any

from .containers import Made, new_container_id, new_file_id
from .documents import Document

FILENAME = "counts.csv"
_NUMBER = re.compile(r"(?<![\w.])\d+(?:[.,]\d+)*(?![\w])")
CODE = """import csv, re

with open("/mnt/data/counts.csv", "w", newline="") as file:
    rows = csv.writer(file)
    rows.writerow(["document", "characters", "words", "numbers"])
    for name, text in documents.items():
        words, numbers = text.split(), re.findall(NUMBER, text)
        rows.writerow([name, len(text), len(words), len(numbers)])
print(open("/mnt/data/counts.csv").read())
"""


@dataclass(frozen=True, slots=True)
class Counted:
    """The call as an output item, the file that it made, and the words that cite it."""

    item: dict[str, Any]
    made: Made

    def cite(self, text: str, *, plain: bool) -> tuple[str, list[dict[str, Any]]]:
        """The text with a link to the file at its end, and the citation of that link.

        A text that must stay as it is (``plain`` is false) gets an empty citation at its end.
        """
        link = f"sandbox:/mnt/data/{self.made.filename}" if plain else ""
        if plain:
            text = f"{text.rstrip()}\n\nThe words are counted in [{self.made.filename}]({link}).\n"
        start = text.rindex(link) if plain else len(text)
        note = {
            "type": "container_file_citation",
            "container_id": self.made.container_id,
            "file_id": self.made.file_id,
            "filename": self.made.filename,
            "start_index": start,
            "end_index": start + len(link),
        }
        return text, [note]


def table_of(documents: list[Document]) -> str:
    """``document,characters,words,numbers``, a line each."""
    out = io.StringIO()
    rows = csv.writer(out, lineterminator="\n")
    rows.writerow(["document", "characters", "words", "numbers"])
    for document in documents:
        found = _NUMBER.findall(document.text)
        words = document.text.split()
        rows.writerow([document.name, len(document.text), len(words), len(found)])
    return out.getvalue()


def count(documents: list[Document], tool: dict[str, Any]) -> Counted:
    """Use the container that the tool names, or a new one."""
    named = tool.get("container")
    container_id = named if isinstance(named, str) else new_container_id()
    table = table_of(documents)
    item = {
        "id": f"ci_{secrets.token_hex(24)}",
        "type": "code_interpreter_call",
        "status": "completed",
        "code": CODE,
        "container_id": container_id,
        "outputs": [{"type": "logs", "logs": table}],
    }
    data = table.encode(errors="replace")
    return Counted(item, Made(container_id, new_file_id(), FILENAME, data))
