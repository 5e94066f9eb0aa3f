import os

from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "jobsite.settings")
application = get_wsgi_application()

from jobsite.checks import refuse_wrong_settings  # noqa: E402 - needs the apps above

refuse_wrong_settings()
