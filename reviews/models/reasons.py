from django.db import models


class ReasonCode(models.TextChoices):
    """Why, in a word that can be counted. The note says the rest."""

    WRONG = "wrong", "Wrong"
    UNSUPPORTED = "unsupported", "Not supported by its sources"
    INCOMPLETE = "incomplete", "Incomplete"
    FORM = "form", "Wrong tone or form"
    UNSAFE = "unsafe", "Unsafe or confidential"
    NOT_NEEDED = "not_needed", "Not needed any more"
    BEYOND_AUTHORITY = "beyond_authority", "Beyond my authority"
    NEEDS_EXPERT = "needs_expert", "Needs an expert"
    CONFLICT = "conflict", "Conflict of interest"
    OTHER = "other", "Something else"
