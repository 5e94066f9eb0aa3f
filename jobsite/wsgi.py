import os

from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "jobsite.settings")
application = get_wsgi_application()

from jobs.provider.webhooks import verifier  # noqa: E402 - needs the apps above
from jobsite.checks import refuse_wrong_settings  # noqa: E402

refuse_wrong_settings()
verifier()
