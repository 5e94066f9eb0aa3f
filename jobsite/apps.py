from django.apps import AppConfig


class JobsiteConfig(AppConfig):
    name = "jobsite"

    def ready(self) -> None:
        from jobsite import accounts, checks  # noqa: F401 - what they register
