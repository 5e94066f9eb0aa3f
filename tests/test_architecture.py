"""Imports point one way. Proven from the source, imports inside functions included."""

import ast
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

#: Each may import those after it, never those before.
APPS = ["jobsite", "reviews", "jobs"]
#: Stands apart: a program of its own, in the same repository.
SANDBOX = "jobsite.sandbox"

#: What the world comes in through. Doors translate; nothing below them knows them.
DOORS = {"views", "forms", "admin", "api", "tasks", "webhooks", "management", "feeds"}
#: Where an app is put together.
ROOTS = {"apps", "urls", "asgi", "wsgi", "settings", "context", "checks", "migrations", "receivers"}

#: The layers of `jobs` below its doors, from the ground up. A module may import what stands on a
#: lower line; those on one line do not know each other. A module that is not here may import any of
#: these and may be imported by none of them.
LAYERS = [
    {"ids", "outage", "outbound", "signals", "text", "timelimit", "words"},
    {"models"},
    {"ballots", "ladder"},
    {"access", "inputs", "provider", "evidence", "documents", "ranking", "rendering"},
    {"audit", "library"},
    {"pricing", "price_book"},
    {"lifecycle", "costs", "leases", "shipped"},
    {"tools"},
    {"calls", "carriage", "live", "edits"},
    {"turns"},
    {"requests"},
    {"policy", "reviewing"},
    {"forecast", "actions", "results", "review_facts", "report"},
    {"settling", "uploads", "reextract", "following"},
    {"copies", "lapses"},
    {"outcomes"},
    {"adoption"},
    {"errands"},
    {"engine"},
]

#: Those of `reviews`, read in the same way.
REVIEW_LAYERS = [
    {"models", "signals"},
    {
        "approvals",
        "claims",
        "concerned",
        "content",
        "exhibits",
        "history",
        "ladder",
        "mentions",
        "occasions",
        "preferences",
        "saved",
        "signing",
    },
    {"channels", "deliveries", "inbox", "lines", "notes", "rulings", "seen"},
    {"composing", "outbox"},
    {"deadletters", "dispatch", "mailing"},
    {"actions", "notices"},
    {"bulk_words", "passes", "preflight"},
    {"bulk"},
]
RANK = {name: rank for rank, names in enumerate(LAYERS) for name in names}

#: Move rows of their own from state to state, and never a job or an attempt.
OWN_STATES = {
    "jobs.calls": ("FunctionCall",),
    "jobs.copies": ("rows.", "ProviderStore."),
    "reviews.deliveries": ("rows.",),
    "reviews.outbox": ("ours.", "rows.", "Delivery"),
    "reviews.deadletters": ("Delivery",),
    "reviews.bulk": ("planned.", "rows.", "mine."),
    "reviews.preflight": ("BulkAction",),
}

#: Decide by what they are given: no requests, no queries, nothing above them.
PURE = ["evidence", "policy", "reviewing", "text", "pricing", "words"]


@cache
def modules():
    """Every module of the product: its dotted name, and its source's path."""
    found = {}
    for app in APPS:
        for path in (ROOT / app).rglob("*.py"):
            parts = path.relative_to(ROOT).with_suffix("").parts
            found[".".join(part for part in parts if part != "__init__")] = path
    return found


@cache
def tree(module):
    return ast.parse(modules()[module].read_text())


@cache
def imports(module):
    """The dotted names that a module imports, wherever in it; of our own ones, the module's."""
    names = set()
    package = module.split(".")
    if modules()[module].name != "__init__.py":
        package = package[:-1]
    for node in ast.walk(tree(module)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            up = package[: len(package) - node.level + 1] if node.level else []
            base = ".".join([*up, *([node.module] if node.module else [])])
            for alias in node.names:
                inner = f"{base}.{alias.name}"
                names.add(inner if inner in modules() else base)
    return frozenset(names)


def ours(module):
    return {name for name in imports(module) if name.split(".")[0] in APPS}


def in_package(name, package):
    return name == package or name.startswith(f"{package}.")


def part(module):
    """The part of its app that a module belongs to: `jobs.models.jobs` to "models"."""
    return module.split(".")[1] if "." in module else ""


def arrows():
    """(importer, imported) between modules of the product, the sandbox aside."""
    for module in modules():
        if not in_package(module, SANDBOX):
            for name in ours(module):
                yield module, name


def test_there_is_something_to_prove():
    assert len(modules()) > 60
    assert ("jobs.lifecycle", "jobs.audit") in set(arrows())
    assert "openai" in imports("jobs.provider.webhooks"), "imports inside functions are seen"


def test_every_layer_is_there():
    for name in RANK:
        assert f"jobs.{name}" in modules(), f"jobs.{name} is gone: take it out of LAYERS"


def test_apps_import_downwards():
    wrong = [
        (module, name)
        for module, name in arrows()
        if APPS.index(module.split(".")[0]) > APPS.index(name.split(".")[0])
    ]
    assert wrong == []


def test_layers_import_downwards():
    wrong = []
    for module, name in arrows():
        if not (in_package(module, "jobs") and in_package(name, "jobs")):
            continue
        source, target = part(module), part(name)
        if source == target or source not in RANK:
            continue
        if RANK.get(target, len(LAYERS)) >= RANK[source]:
            wrong.append((module, name))
    assert wrong == []


def test_nothing_below_the_doors_knows_a_door():
    wrong = [
        (module, name)
        for module, name in arrows()
        if part(name) in DOORS and part(module) not in DOORS | ROOTS
    ]
    assert wrong == []


def test_only_the_urls_know_the_views():
    wrong = [
        (module, name)
        for module, name in arrows()
        if part(name) in ("views", "api", "webhooks")
        if part(name) != part(module) and part(module) != "urls" and "provider" not in name
    ]
    assert wrong == []


def test_reviews_is_layered_as_well():
    lower = {name: rank for rank, names in enumerate(REVIEW_LAYERS) for name in names}
    wrong = [
        (module, name)
        for module, name in arrows()
        if in_package(module, "reviews") and in_package(name, "reviews")
        if part(module) in lower and part(module) != part(name)
        if lower.get(part(name), 9) >= lower[part(module)]
    ]
    assert wrong == []


def test_no_module_imports_itself_in_a_circle():
    graph = {module: {n for n in ours(module) if n in modules()} for module in modules()}
    done, path = set(), []

    def walk(module):
        if module in path:
            pytest.fail(" → ".join([*path[path.index(module) :], module]))
        if module in done:
            return
        path.append(module)
        for name in sorted(graph[module]):
            # A package's __init__ only gathers what its modules hold.
            if not in_package(module, name):
                walk(name)
        path.pop()
        done.add(module)

    for module in sorted(graph):
        walk(module)


def test_one_family_imports_the_sdk():
    vendors = ("openai", "httpx2", "httpx", "httpx_aiohttp", "aiohttp")
    importers = {
        module
        for module in modules()
        if not in_package(module, SANDBOX)
        if any(in_package(name, vendor) for name in imports(module) for vendor in vendors)
    }
    assert importers and all(in_package(module, "jobs.provider") for module in importers), importers


@pytest.mark.parametrize("name", PURE)
def test_what_is_pure_knows_no_requests_and_no_rows(name):
    for module in modules():
        if in_package(module, f"jobs.{name}"):
            assert not {n for n in imports(module) if in_package(n, "django")}, module
            assert _queries(module) == []


def test_the_provider_knows_no_requests_and_no_rows():
    for module in modules():
        if in_package(module, "jobs.provider"):
            assert not {n for n in imports(module) if in_package(n, "django")}, module
            assert ours(module) <= {
                "jobs.models",
                "jobs.text",
                *(n for n in modules() if in_package(n, "jobs.provider")),
            }, module
            assert _queries(module) == [], module


def test_evidence_and_text_know_no_models_at_all():
    for module in modules():
        if any(in_package(module, name) for name in ("jobs.text", "jobs.ids", "jobs.evidence")):
            known = {name for name in ours(module) if not in_package(name, "jobs.evidence")}
            assert known <= {"jobs.text"}, module


def _queries(module):
    """Uses of a manager: `Job.objects`, and `.filter(…)` and the like."""
    verbs = {"filter", "exclude", "update", "save", "bulk_create", "select_related"}
    found = []
    for node in ast.walk(tree(module)):
        if isinstance(node, ast.Attribute) and node.attr == "objects":
            found.append(f"{module}:{node.lineno} .objects")
        if (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and node.func.attr in verbs
            and not isinstance(node.func.value, ast.Name | ast.Constant)
        ):
            found.append(f"{module}:{node.lineno} .{node.func.attr}()")
    return found


def test_the_sandbox_is_a_program_of_its_own():
    for module in modules():
        if in_package(module, SANDBOX):
            assert all(in_package(name, SANDBOX) for name in ours(module)), module
            assert not {name for name in imports(module) if in_package(name, "django")}, module


def test_the_product_uses_the_sandbox_only_to_start_it():
    users = {module for module, name in arrows() if in_package(name, SANDBOX)}
    assert users <= {"jobsite.management.commands.sandbox", "jobsite.supervisor"}


def test_statuses_and_states_are_written_in_one_place():
    """`status=…` and `state=…` of jobs and attempts are written by the life cycle; elsewhere they
    are only asked for."""
    wrong = []
    for module in modules():
        if in_package(module, SANDBOX) or module == "jobs.lifecycle" or "migrations" in module:
            continue
        for node in ast.walk(tree(module)):
            if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
                continue
            if node.func.attr not in ("update", "create", "bulk_create", "get_or_create"):
                continue
            if any(own in ast.unparse(node.func) for own in OWN_STATES.get(module, ())):
                continue
            for keyword in node.keywords:
                if keyword.arg in ("status", "state", "open_gate", "settled_at", "event_head"):
                    wrong.append(f"{module}:{node.lineno} {keyword.arg}")
    assert wrong == []
