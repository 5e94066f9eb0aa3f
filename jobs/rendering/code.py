"""Code in colours, by classes that the style sheet knows."""

from html import escape

#: Highlighters are backtracking patterns: what is longer stays uncoloured.
LONGEST_CODE = 10_000
PREFIX = "hl-"
#: Languages by the names that fences use. Lexers of the languages that reports quote, no others.
LANGUAGES = {
    name: lexer
    for lexer, names in {
        "bash": "bash sh shell zsh",
        "c": "c h",
        "cpp": "cpp c++",
        "csharp": "csharp cs c#",
        "css": "css",
        "diff": "diff patch",
        "go": "go golang",
        "html": "html",
        "ini": "ini cfg",
        "java": "java",
        "javascript": "javascript js jsx",
        "json": "json jsonc",
        "python": "python py python3",
        "rust": "rust rs",
        "sql": "sql postgresql sqlite",
        "toml": "toml",
        "typescript": "typescript ts tsx",
        "xml": "xml svg",
        "yaml": "yaml yml",
    }.items()
    for name in names.split()
}


def highlighted(code: str, language: str) -> str:
    """`code` as HTML; plain where its language is unknown, or where it is long."""
    lexer = LANGUAGES.get(language.casefold())
    if lexer is None or len(code) > LONGEST_CODE:
        return escape(code)
    from pygments import highlight  # not paid by every command
    from pygments.formatters import HtmlFormatter
    from pygments.lexers import get_lexer_by_name

    formatter = HtmlFormatter(nowrap=True, classprefix=PREFIX)
    return str(highlight(code, get_lexer_by_name(lexer, stripnl=False, ensurenl=False), formatter))


def classes() -> frozenset[str]:
    """Every class that highlighted code may carry."""
    from pygments.token import STANDARD_TYPES

    return frozenset(f"{PREFIX}{name}" for name in STANDARD_TYPES.values() if name)
