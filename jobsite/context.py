from django.conf import settings
from django.http import HttpRequest


def provider(request: HttpRequest) -> dict[str, bool]:
    """``sandbox``: whether the stand-in answers, so that every page can say so."""
    return {"sandbox": settings.SANDBOX}
