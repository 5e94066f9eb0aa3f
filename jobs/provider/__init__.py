"""The only importer of `openai`. Callers see our dataclasses and our exceptions, never HTTP."""
