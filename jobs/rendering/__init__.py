"""What models and people wrote, made fit to be seen: pure, without queries and requests.

All of it is hostile. What becomes HTML here goes through `sanitizer.sanitized` last; everything
else is text, which templates escape.
"""

from jobs.rendering.results import FileView, ResultView, SourceView, result_view

__all__ = ["FileView", "ResultView", "SourceView", "result_view"]
