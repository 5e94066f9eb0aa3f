"""What the model did on its way, item by item."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from jobs.evidence import detail, files
from jobs.evidence.files import InlineFile
from jobs.evidence.messages import final_messages, message_text
from jobs.evidence.parts import Part, ToolUse, Warned, a_dict, a_list, a_text, dicts, texts
from jobs.text import clipped

Item = dict[str, Any]
LONGEST_SUMMARY = 500
LONGEST_NAME = 80
_ENDED_BADLY = {"failed": "failed", "incomplete": "did not finish"}


@dataclass
class Steps:
    uses: list[ToolUse] = field(default_factory=list)
    images: list[InlineFile] = field(default_factory=list)
    warnings: list[Warned] = field(default_factory=list)


@dataclass(frozen=True)
class Told:
    """A step in our words; `said` is what its summary is made of."""

    title: str
    said: Iterable[Any] = ()
    parts: Sequence[Part] = ()


def names_of_calls(items: Iterable[Item]) -> Mapping[str, str]:
    """By the id of a call, the name of what was called: its output does not repeat it."""
    return {
        call_id: _name(item)
        for item in items
        for call_id in (a_text(item.get("call_id")), a_text(item.get("id")))
        if call_id and item.get("name")
    }


def steps(
    items: Sequence[Item], names: Mapping[str, str], *, turn: int, is_last: bool, images: int
) -> Steps:
    """The steps of one turn. Messages are among them where they are not the answer; `images`
    counts those that earlier turns have made."""
    answers = final_messages(items) if is_last else []
    made = Steps()
    for item in items:
        kind = a_text(item.get("type"))[:60] or "unknown"
        if kind == "reasoning" and not _reasoning_text(item):
            continue
        if kind == "message" and (any(item is a for a in answers) or not message_text(item)):
            continue
        for encoded in _encoded_images(kind, item):
            number = images + len(made.images) + 1
            if picture := files.image(encoded, number, turn=turn):
                made.images.append(picture)
        told = _TELLERS.get(kind, _unknown)(item, names)
        status = a_text(item.get("status"))[:60]
        name = a_text(item.get("name")) or a_text(item.get("server_label"))
        title = clipped(told.title, 200)
        words = dict.fromkeys(part for part in told.said if isinstance(part, str) and part)
        summary = clipped(" · ".join(words), LONGEST_SUMMARY)
        parts = tuple(told.parts)
        raw = detail.slim(item)
        made.uses.append(ToolUse(kind, name[:200], status, summary, raw, title, parts, turn))
        if status in _ENDED_BADLY or item.get("error"):
            how = _ENDED_BADLY.get(status, "ended in error")
            made.warnings.append(Warned("tool_failed", f"“{title}” {how}."))
    return made


def _encoded_images(kind: str, item: Item) -> Iterable[Any]:
    if kind == "image_generation_call":
        yield item.get("result")
    if kind == "code_interpreter_call":
        for output in dicts(item.get("outputs")):
            if a_text(output.get("url")).startswith("data:image/"):
                yield output["url"]


def _name(item: Item) -> str:
    return clipped(a_text(item.get("name")), LONGEST_NAME) or "something without a name"


def _server(item: Item) -> str:
    return clipped(a_text(item.get("server_label")), LONGEST_NAME) or "a server without a name"


def _output(value: Any) -> list[Part]:
    """What a call gave back: a text, or parts of content."""
    if isinstance(value, list):
        said = [a_text(part.get("text")) for part in dicts(value)]
        if words := "\n\n".join(text for text in said if text):
            return detail.laid_out("Output", words)
        return detail.laid_out("Output", detail.slim(value))
    return detail.laid_out("Output", value)


def _error(value: Any) -> list[Part]:
    """An error as an object or, as it was once, as a text."""
    error = a_dict(value)
    text = a_text(error.get("message")) or a_text(error.get("content"))
    said = ": ".join(part for part in (a_text(error.get("type")), text) if part)
    return detail.text("Error", said) or detail.laid_out("Error", value or None)


def _message(item: Item, names: Mapping[str, str]) -> Told:
    said = message_text(item)
    return Told("Said on the way", [said], detail.text("Text", said))


def _reasoning_text(item: Item) -> str:
    said = [*dicts(item.get("summary")), *dicts(item.get("content"))]
    return "\n\n".join(text for part in said if (text := a_text(part.get("text"))))


def _reasoning(item: Item, names: Mapping[str, str]) -> Told:
    said = _reasoning_text(item)
    return Told("Thought about it", [said], detail.text("Summary of its reasoning", said))


def _function_call(item: Item, names: Mapping[str, str]) -> Told:
    arguments = item.get("arguments")
    parts = [
        *detail.text("Namespace", item.get("namespace")),
        *detail.laid_out("Arguments", arguments),
    ]
    return Told(f"Called {_name(item)}", [arguments], parts)


def _custom_tool_call(item: Item, names: Mapping[str, str]) -> Told:
    given = item.get("input")
    return Told(f"Called {_name(item)}", [given], detail.text("Input", given))


def _call_output(item: Item, names: Mapping[str, str]) -> Told:
    called = names.get(a_text(item.get("call_id")), "")
    title = f"{called or 'The tool'} answered"
    parts = _output(item.get("output"))
    return Told(title, [part.text for part in parts], parts)


def _web_search(item: Item, names: Mapping[str, str]) -> Told:
    action = a_dict(item.get("action"))
    queries = [action.get("query"), *a_list(action.get("queries")), *a_list(item.get("queries"))]
    url, pattern = a_text(action.get("url")), a_text(action.get("pattern"))
    sources = [source.get("url") for source in dicts(action.get("sources"))]
    parts = [
        *detail.items("Asked for", queries),
        *detail.items("Page", [url]),
        *detail.text("Looked for", pattern),
        *detail.items("Found", sources),
    ]
    title = {"open_page": "Opened a page", "find_in_page": "Looked for words on a page"}.get(
        a_text(action.get("type")), "Searched the web"
    )
    return Told(title, [*queries, pattern, url], parts)


def _file_search(item: Item, names: Mapping[str, str]) -> Told:
    queries = a_list(item.get("queries"))
    parts = detail.items("Asked for", queries)
    for result in dicts(item.get("results"))[: detail.MOST_ITEMS // 2]:
        filename = a_text(result.get("filename")) or a_text(result.get("file_id"))
        score = result.get("score")
        worth = f" ({score:.2f})" if isinstance(score, float) else ""
        label = clipped(f"Found in {filename or 'a file'}{worth}", 200)
        found = a_text(result.get("text"))[:1_500]
        parts += detail.text(label, found) or [Part(label)]
    return Told("Searched the documents", queries, parts)


def _code_interpreter(item: Item, names: Mapping[str, str]) -> Told:
    code = item.get("code")
    parts = detail.text("Code", code, language="python")
    for output in dicts(item.get("outputs")):
        parts += detail.text("Log", output.get("logs"))
        url = a_text(output.get("url"))
        parts += detail.items("Picture", [] if url.startswith("data:") else [url])
    parts += detail.text("Container", item.get("container_id"))
    return Told("Ran code", [code], parts)


def _image_generation(item: Item, names: Mapping[str, str]) -> Told:
    prompt = item.get("revised_prompt")
    return Told("Made a picture", [prompt], detail.text("Asked for", prompt))


def _computer_call(item: Item, names: Mapping[str, str]) -> Told:
    actions = [a_dict(item.get("action")), *dicts(item.get("actions"))]
    kinds = [kind for action in actions if (kind := a_text(action.get("type")))]
    checks = [check.get("message") for check in dicts(item.get("pending_safety_checks"))]
    parts = [
        *detail.laid_out("Actions", [action for action in actions if action]),
        *detail.items("Safety checks that wait", checks),
    ]
    return Told("Used a computer", kinds, parts)


def _computer_output(item: Item, names: Mapping[str, str]) -> Told:
    output = a_dict(item.get("output"))
    url = a_text(output.get("image_url"))
    parts = [
        *detail.items("Screenshot", [] if url.startswith("data:") else [url]),
        *detail.text("Screenshot, as a file", output.get("file_id")),
        *detail.items(
            "Safety checks that were accepted",
            [check.get("message") for check in dicts(item.get("acknowledged_safety_checks"))],
        ),
    ]
    return Told("Saw the screen", (), parts)


def _tool_names(value: Any) -> list[str]:
    return [a_text(tool.get("name")) or a_text(tool.get("type")) for tool in dicts(value)]


def _mcp_list_tools(item: Item, names: Mapping[str, str]) -> Told:
    tools = _tool_names(item.get("tools"))
    parts = [*detail.items("Tools", tools), *_error(item.get("error"))]
    return Told(f"Asked {_server(item)} for its tools", tools, parts)


def _mcp_call(item: Item, names: Mapping[str, str]) -> Told:
    arguments = item.get("arguments")
    parts = [
        *detail.laid_out("Arguments", arguments),
        *_output(item.get("output")),
        *_error(item.get("error")),
    ]
    return Told(f"Called {_name(item)} at {_server(item)}", [arguments], parts)


def _mcp_approval_request(item: Item, names: Mapping[str, str]) -> Told:
    arguments = item.get("arguments")
    title = f"Asked to call {_name(item)} at {_server(item)}"
    return Told(title, [arguments], detail.laid_out("Arguments", arguments))


def _mcp_approval_response(item: Item, names: Mapping[str, str]) -> Told:
    called = names.get(a_text(item.get("approval_request_id")), "")
    what = f"to call {called}" if called else "to make the call"
    title = f"Was allowed {what}" if item.get("approve") is True else f"Was not allowed {what}"
    return Told(title, [item.get("reason")], detail.text("Why", item.get("reason")))


def _shell_call(item: Item, names: Mapping[str, str]) -> Told:
    action = a_dict(item.get("action"))
    local = " ".join(texts(action.get("command")))
    commands = [*texts(action.get("commands")), *([local] if local else [])]
    parts = [
        *detail.text("Commands", "\n".join(commands), language="bash"),
        *detail.text("In the folder", action.get("working_directory")),
    ]
    return Told("Ran a command", commands, parts)


def _shell_output(item: Item, names: Mapping[str, str]) -> Told:
    output = item.get("output")
    if not isinstance(output, list):
        return Told("The command ended", [output], detail.laid_out("Output", output))
    parts: list[Part] = []
    ends: list[str] = []
    for each in dicts(output):
        outcome = a_dict(each.get("outcome"))
        code = outcome.get("exit_code")
        ends.append("timed out" if outcome.get("type") == "timeout" else f"exit code {code}")
        parts += detail.text("Output", each.get("stdout"))
        parts += detail.text("Errors", each.get("stderr"))
    return Told("The command ended", ends, [*detail.items("Ended with", ends), *parts])


def _apply_patch(item: Item, names: Mapping[str, str]) -> Told:
    operation = a_dict(item.get("operation"))
    path = a_text(operation.get("path"))
    what = {"create_file": "create", "delete_file": "delete"}.get(
        a_text(operation.get("type")), "change"
    )
    title = f"Asked to {what} {clipped(path, LONGEST_NAME) or 'a file'}"
    return Told(title, [path], detail.text("Change", operation.get("diff"), language="diff"))


def _apply_patch_output(item: Item, names: Mapping[str, str]) -> Told:
    output = item.get("output")
    return Told("The change was tried", [output], detail.text("Output", output))


def _tool_search(item: Item, names: Mapping[str, str]) -> Told:
    wanted = item.get("arguments")
    said = wanted if isinstance(wanted, str) else detail.as_json(wanted) if wanted else ""
    return Told("Looked for tools", [said], detail.laid_out("Looked for", wanted))


def _tool_search_output(item: Item, names: Mapping[str, str]) -> Told:
    tools = _tool_names(item.get("tools"))
    return Told("Found tools", tools, detail.items("Tools", tools))


def _additional_tools(item: Item, names: Mapping[str, str]) -> Told:
    tools = _tool_names(item.get("tools"))
    return Told("Was given more tools", tools, detail.items("Tools", tools))


def _program(item: Item, names: Mapping[str, str]) -> Told:
    code = item.get("code")
    return Told("Wrote a program", [code], detail.text("Code", code, language="python"))


def _program_output(item: Item, names: Mapping[str, str]) -> Told:
    result = item.get("result")
    return Told("The program ended", [result], detail.laid_out("Result", result))


def _compaction(item: Item, names: Mapping[str, str]) -> Told:
    return Told("Shortened what it keeps in mind")


def _unknown(item: Item, names: Mapping[str, str]) -> Told:
    kind = clipped(a_text(item.get("type")), LONGEST_NAME) or "without a type"
    said = detail.laid_out("As it came", detail.slim(item))
    return Told(f"Unknown item {kind}, kept as it came", (), said)


#: By the types that the API has (openai 3.52, ``ResponseOutputItem``).
_TELLERS: Mapping[str, Callable[[Item, Mapping[str, str]], Told]] = {
    "message": _message,
    "reasoning": _reasoning,
    "function_call": _function_call,
    "function_call_output": _call_output,
    "custom_tool_call": _custom_tool_call,
    "custom_tool_call_output": _call_output,
    "web_search_call": _web_search,
    "file_search_call": _file_search,
    "code_interpreter_call": _code_interpreter,
    "image_generation_call": _image_generation,
    "computer_call": _computer_call,
    "computer_call_output": _computer_output,
    "mcp_list_tools": _mcp_list_tools,
    "mcp_call": _mcp_call,
    "mcp_approval_request": _mcp_approval_request,
    "mcp_approval_response": _mcp_approval_response,
    "local_shell_call": _shell_call,
    "local_shell_call_output": _shell_output,
    "shell_call": _shell_call,
    "shell_call_output": _shell_output,
    "apply_patch_call": _apply_patch,
    "apply_patch_call_output": _apply_patch_output,
    "tool_search_call": _tool_search,
    "tool_search_output": _tool_search_output,
    "additional_tools": _additional_tools,
    "program": _program,
    "program_output": _program_output,
    "compaction": _compaction,
}
KNOWN_KINDS = frozenset(_TELLERS)
