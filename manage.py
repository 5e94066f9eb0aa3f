#!/usr/bin/env python
import os
import sys


def main() -> None:
    if sys.version_info < (3, 11):  # noqa: UP036 - said before anything newer is imported
        sys.exit("Jobsite needs Python 3.11 or newer; this is Python " + sys.version.split()[0])
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "jobsite.settings")
    try:
        from django.core.management import execute_from_command_line
    except ImportError:
        sys.exit(
            "Django is not installed for this Python. Run `make setup`, then .venv/bin/python."
        )
    execute_from_command_line(sys.argv)


if __name__ == "__main__":
    main()
