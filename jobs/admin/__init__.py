"""The admin: what is configured can be edited; what has happened can only be read."""

from jobs.admin import calls, closed, configuration, library, machine, parts, people, prices

__all__ = ["calls", "closed", "configuration", "library", "machine", "parts", "people", "prices"]
