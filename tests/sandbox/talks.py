"""Threads of several turns, and the tools that they are held with."""

from __future__ import annotations

import json

TEXT = {"type": "string"}


def function(name, description="", /, **properties):
    """A function tool as strict mode wants it."""
    return {
        "type": "function",
        "name": name,
        "description": description,
        "strict": True,
        "parameters": {
            "type": "object",
            "properties": properties,
            "required": list(properties),
            "additionalProperties": False,
        },
    }


LIMIT = {"type": "integer", "minimum": 1, "maximum": 20}
SEARCH = function("search_library", "Searches the library.", query=TEXT, limit=LIMIT)
RESULTS = function("find_results", "Finds earlier results.", question=TEXT)
READ = function("read_document", "Reads a document of the library.", ref=TEXT)
SEND = function("send_email", "Sends an e-mail.", to=TEXT, subject=TEXT, body=TEXT)
WEATHER = function("weather", "Tells the weather.", city=TEXT, days=LIMIT)
DESK = {"type": "mcp", "server_label": "desk", "server_url": "https://desk.example.org/mcp"}

LETTER = """Answer this customer.

From: pat@example.org
Subject: Late delivery

Message:
Hello, my order has not come. When is a refund paid for a late delivery?"""
ANSWER = "A refund for a late delivery is paid within ten working days of the claim."
FOUND = json.dumps(
    {
        "results": [
            {"ref": "lib-7", "title": "Parking", "snippet": "Cars are parked behind the house."},
            {"ref": "lib-9", "title": "Refunds", "snippet": f"… {ANSWER[:50]}"},
        ]
    }
)
WHOLE = json.dumps({"ref": "lib-9", "title": "Refunds", "text": f"{ANSWER} Dogs may come along."})
OUTPUTS = {"search_library": FOUND, "find_results": "[]", "read_document": WHOLE}


def calls_of(response):
    return [
        (item.name, json.loads(item.arguments))
        for item in response.output
        if item.type == "function_call"
    ]


class Talk:
    """A thread of background responses."""

    def __init__(self, client, tools, **options):
        self.client, self.options = client, {"model": "m", "background": True, "tools": tools}
        self.options |= options
        self.last = None

    def say(self, given, **options):
        options = {**self.options, **options}
        if self.last is not None:
            options["previous_response_id"] = self.last.id
        made = self.client.responses.create(input=given, **options)
        self.last = self.client.responses.retrieve(made.id)
        return self.last

    def answer(self, **outputs):
        given = [
            {
                "type": "function_call_output",
                "call_id": item.call_id,
                "output": {**OUTPUTS, **outputs}[item.name],
            }
            for item in self.last.output
            if item.type == "function_call"
        ]
        return self.say(given)
