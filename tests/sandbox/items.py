"""One output item of each type that the SDK knows."""

from __future__ import annotations

from typing import Any

Item = dict[str, Any]

TEXT = {"type": "output_text", "text": "Hello there.", "annotations": [], "logprobs": []}
DONE = {"status": "completed"}

ITEMS: list[Item] = [
    {"id": "msg_1", "type": "message", "role": "assistant", **DONE, "content": [TEXT]},
    {
        "id": "rs_1",
        "type": "reasoning",
        "summary": [{"type": "summary_text", "text": "Thought about it."}],
        "content": [{"type": "reasoning_text", "text": "At length."}],
        "encrypted_content": "gAAA",
        **DONE,
    },
    {"id": "fc_1", "type": "function_call", "call_id": "call_1", "name": "f", "arguments": "{}"},
    {
        "id": "fco_1",
        "type": "function_call_output",
        "call_id": "call_0",
        "output": "Done.",
        **DONE,
    },
    {
        "id": "ctc_1",
        "type": "custom_tool_call",
        "call_id": "call_2",
        "name": "shout",
        "input": "Hey you",
    },
    {
        "id": "cto_1",
        "type": "custom_tool_call_output",
        "call_id": "call_2",
        "output": "HEY YOU",
        **DONE,
    },
    {
        "id": "ws_1",
        "type": "web_search_call",
        **DONE,
        "action": {"type": "search", "query": "webhooks", "queries": ["webhooks"]},
    },
    {
        "id": "fs_1",
        "type": "file_search_call",
        **DONE,
        "queries": ["dues"],
        "results": [{"file_id": "file-1", "filename": "a.txt", "score": 0.5, "text": "Dues."}],
    },
    {
        "id": "ci_1",
        "type": "code_interpreter_call",
        **DONE,
        "code": "print(6 * 7)",
        "container_id": "cntr_1",
        "outputs": [{"type": "logs", "logs": "42"}],
    },
    {"id": "ig_1", "type": "image_generation_call", **DONE, "result": "iVBORw0KGgo="},
    {
        "id": "cu_1",
        "type": "computer_call",
        "call_id": "call_3",
        **DONE,
        "action": {"type": "screenshot"},
        "pending_safety_checks": [],
    },
    {
        "id": "cuo_1",
        "type": "computer_call_output",
        "call_id": "call_3",
        **DONE,
        "output": {"type": "computer_screenshot", "image_url": "data:image/png;base64,iVBO"},
    },
    {
        "id": "mcpl_1",
        "type": "mcp_list_tools",
        "server_label": "desk",
        "tools": [{"name": "lookup", "input_schema": {"type": "object"}}],
    },
    {
        "id": "mcp_1",
        "type": "mcp_call",
        "server_label": "desk",
        "name": "lookup",
        "arguments": '{"query": "dues"}',
        "output": "Dues.",
        "error": None,
        **DONE,
    },
    {
        "id": "mcpr_1",
        "type": "mcp_approval_request",
        "server_label": "desk",
        "name": "lookup",
        "arguments": "{}",
    },
    {
        "id": "mcpa_1",
        "type": "mcp_approval_response",
        "approval_request_id": "mcpr_1",
        "approve": True,
    },
    {
        "id": "lsh_1",
        "type": "local_shell_call",
        "call_id": "call_4",
        **DONE,
        "action": {"type": "exec", "command": ["ls"], "env": {}},
    },
    {"id": "lsho_1", "type": "local_shell_call_output", "output": "a.txt", **DONE},
    {
        "id": "sh_1",
        "type": "shell_call",
        "call_id": "call_5",
        **DONE,
        "action": {"commands": ["ls"], "max_output_length": None, "timeout_ms": None},
        "environment": None,
    },
    {
        "id": "sho_1",
        "type": "shell_call_output",
        "call_id": "call_5",
        **DONE,
        "max_output_length": None,
        "output": [{"stdout": "a", "stderr": "", "outcome": {"type": "exit", "exit_code": 0}}],
    },
    {
        "id": "apc_1",
        "type": "apply_patch_call",
        "call_id": "call_6",
        **DONE,
        "operation": {"type": "delete_file", "path": "a.txt"},
    },
    {
        "id": "apco_1",
        "type": "apply_patch_call_output",
        "call_id": "call_6",
        "status": "failed",
        "output": "No such file.",
    },
    {
        "id": "ts_1",
        "type": "tool_search_call",
        "call_id": None,
        "execution": "server",
        **DONE,
        "arguments": {"query": "mail"},
    },
    {
        "id": "tso_1",
        "type": "tool_search_output",
        "call_id": None,
        "execution": "server",
        **DONE,
        "tools": [{"type": "function", "name": "f", "parameters": None, "strict": True}],
    },
    {"id": "at_1", "type": "additional_tools", "role": "developer", "tools": []},
    {
        "id": "pr_1",
        "type": "program",
        "call_id": "call_7",
        "code": "return 1",
        "fingerprint": "f1",
    },
    {"id": "pro_1", "type": "program_output", "call_id": "call_7", "result": "1", **DONE},
    {"id": "cmp_1", "type": "compaction", "encrypted_content": "gAAA"},
]
