"""The admin: what is configured can be edited; what has happened can only be read."""

from jobs.admin import closed, configuration, machine, parts, people

__all__ = ["closed", "configuration", "machine", "parts", "people"]
