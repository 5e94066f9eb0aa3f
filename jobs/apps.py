from django.apps import AppConfig
from django.db.models.signals import post_migrate


class JobsConfig(AppConfig):
    name = "jobs"

    def ready(self) -> None:
        from django_q.signals import post_spawn

        from jobs import tasks
        from jobs.models import immutable

        post_spawn.connect(tasks.start_sweeping, dispatch_uid="jobs.start_sweeping")
        post_migrate.connect(immutable.install, sender=self, dispatch_uid="jobs.immutable")
