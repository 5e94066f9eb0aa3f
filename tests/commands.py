"""Runs a command as the shell would, inside this process: its exit code, stdout and stderr."""

import io
import json
import sys
from dataclasses import dataclass
from typing import Any

import pytest
from django.core.management import get_commands, load_command_class


@dataclass(frozen=True)
class Ran:
    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """Stdout, which must be exactly one JSON document."""
        return json.loads(self.out)


class Shell:
    def __init__(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self.monkeypatch = monkeypatch
        self.capsys = capsys
        # The command would close the connection that the test's transaction is on.
        monkeypatch.setattr("django.core.management.base.connections.close_all", lambda: None)

    def __call__(self, name: str, *args: object, stdin: str = "") -> Ran:
        command = load_command_class(get_commands()[name], name)
        self.monkeypatch.setattr(sys, "stdin", io.StringIO(stdin))
        self.capsys.readouterr()
        code: Any = 0
        try:
            command.run_from_argv(["manage.py", name, *map(str, args)])
        except SystemExit as exit:
            code = exit.code or 0
        said = self.capsys.readouterr()
        return Ran(code, said.out, said.err)
