"""One section of a result, as it goes along with a question about it."""

from collections.abc import Iterator, Sequence

from jobs.models import Result
from jobs.rendering import markdown, structured
from jobs.rendering.headings import section_name
from jobs.rendering.outline import WHOLE, Block, Part, outline


def section_markdown(result: Result, name: str) -> str:
    """What stands under the first heading of that name, heading included; "" where there is none.
    `name` is as `headings.section_name` gives it."""
    if result.structured is None:
        return markdown.section(result.text, name)
    blocks = outline(result.structured, WHOLE).blocks
    found = (part for part in _parts(blocks) if section_name(part.label) == name)
    return structured.as_markdown([part]) if (part := next(found, None)) else ""


def _parts(blocks: Sequence[Block]) -> Iterator[Part]:
    for block in blocks:
        if isinstance(block, Part):
            yield block
            yield from _parts(block.blocks)
