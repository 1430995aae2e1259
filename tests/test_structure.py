"""Rules about the code itself: which way imports run, who guards each route, who commits, what the pages list."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from flask import Flask

from smsgw import settings as settings_module
from smsgw.core.accounts.roles import ROLES
from smsgw.settings import Settings
from smsgw.sms import statuses
from smsgw.store.audited import AUDITED

from . import databases
from .conftest import application

ROOT = Path(__file__).resolve().parent.parent
SOURCES = sorted((ROOT / "smsgw").rglob("*.py"))
TEMPLATES = sorted((ROOT / "smsgw/dashboard/templates").rglob("*.html"))
RANKS = {
    **dict.fromkeys(
        [
            "settings",
            "clock",
            "environment",
            "env_files",
            "public_urls",
            "errors",
            "json_reader",
            "ids",
            "addresses",
            "allowed_addresses",
            "brokers",
            "database_urls",
            "lazy_imports",
            "local_times",
            "program",
            "lan",
            "sms",
            "logs",
            "log_writer",
            "metrics",
        ],
        0,
    ),
    "store": 1,
    "core": 2,
    **dict.fromkeys(["http", "live"], 3),
    **dict.fromkeys(["phones", "websocket_api", "api", "dashboard", "ops", "delivery"], 4),
    "factory": 5,
    "server": 6,
    **dict.fromkeys(["cli", "__main__"], 7),
}
# Inside core the packages import downwards only, too.
CORE_RANKS = {
    name: rank
    for rank, name in enumerate(
        ["events", "devices", "webhooks", "messages", "accounts", "operations"]
    )
}
# Where one imports the other although both have one rank.
NEIGHBOURS = {
    ("settings", "database_urls"),
    ("lan", "settings"),
    ("http", "live"),
    ("__main__", "cli"),
    ("logs", "clock"),
    ("logs", "log_writer"),
    ("addresses", "allowed_addresses"),
    ("settings", "allowed_addresses"),
    ("settings", "environment"),
    ("settings", "env_files"),
    ("settings", "public_urls"),
    ("settings", "lazy_imports"),
    ("sms", "lazy_imports"),
}
KNOW_FLASK = range(3, 6)
MOST_LINES_OF_A_FUNCTION = 40
MOST_LINES_OF_A_MODULE = 250
# Where a status of a message is also a word for something else: of a delivery, a result, a limit, another protocol.
SAY_THE_SAME_OF_OTHER_THINGS = {
    "core/webhooks/delivery_statuses.py",
    "metrics.py",
    "phones/mysmsapio/rest.py",
    "phones/mysmsapio/translation.py",
}
STATEMENTS = {"Query", "Change", "RowUpdate", "Insert", "InsertNew"}
# The methods of a session that read or write rows.
ASK = {
    "execute",
    "scalar",
    "scalars",
    "get",
    "get_one",
    "query",
    "add",
    "add_all",
    "merge",
    "delete",
    "refresh",
}
# Statements that write to tables of things that people set up, and the modules that note by themselves what they write.
WRITES_TO_AUDITED = re.compile(
    r"(sa\.)?(?P<kind>update|delete|insert|Insert|InsertNew|RowUpdate)\((plain\()?"
    r"(?P<table>Device|Crm|CrmDevice|Operator|WebhookEndpoint|OptOut|Pairing)\b(?!\.)"
)
NOTE_WHAT_THEIR_STATEMENTS_WRITE = {
    "core/accounts/enrolment.py",
    "core/accounts/routes.py",
    "core/devices/pairing.py",
    "core/messages/opt_outs.py",
}
# How a docstring begins that names a thing instead of saying what a function or a module does.
NO_VERB = re.compile(
    r"(A|An|All|As|At|By|Each|Every|For|From|How|If|In|It|Its|No|On|One|Only|Some|That|The|This|Those|What|When|Where"
    r"|Whether|Which|Who|Whose|Why)\b|\W|\d"
)
# How a docstring begins that is a clause and no name of a thing.
CLAUSE = re.compile(r"(How|If|What|When|Where|Whether|Which|Who|Whose|Why)\b")
DATABASE_LIBRARIES = {"sqlalchemy", "alembic", "psycopg", "sqlite3"}
# What the store offers those above core: transactions, its errors, notifications, and rows to read.
STORE_ABOVE_CORE = {"db", "outages", "change_listener", "migrations", "models", "rows"}


def _name(path: Path) -> str:
    """`core` for smsgw/core/accounts/crms.py, `ops` for smsgw/ops.py."""
    return path.relative_to(ROOT / "smsgw").parts[0].removesuffix(".py")


def _trees() -> Iterator[tuple[Path, ast.Module]]:
    for path in SOURCES:
        yield path, ast.parse(path.read_text())


def _imports(path: Path, tree: ast.Module) -> Iterator[list[str]]:
    """Each imported module as its dotted parts, relative ones made absolute."""
    package = path.relative_to(ROOT).parts[:-1]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".") for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = list(package[: len(package) - node.level + 1]) if node.level else []
            parts = base + (node.module.split(".") if node.module else [])
            yield from ([*parts, alias.name] for alias in node.names)


def test_imports_run_from_higher_to_lower_ranks_only():
    wrong = []
    for path, tree in _trees():
        here = _name(path)
        if here == "__init__":
            continue
        for parts in _imports(path, tree):
            if parts[0] != "smsgw" or parts[1] in (here, "__version__"):
                continue
            there = parts[1]
            if RANKS[there] >= RANKS[here] and (here, there) not in NEIGHBOURS:
                wrong.append(f"{path.relative_to(ROOT)} imports {there}")
    assert not wrong


def test_every_rank_is_of_something_that_is_there():
    assert set(RANKS) == {_name(path) for path in SOURCES} - {"__init__"}
    packages = {path.name for path in (ROOT / "smsgw/core").iterdir() if path.is_dir()}
    assert set(CORE_RANKS) == packages - {"__pycache__"}


def test_imports_inside_core_run_from_higher_to_lower_packages_only():
    wrong = [
        f"{path.relative_to(ROOT)} imports {parts[2]}"
        for path, tree in _trees()
        for here in [path.relative_to(ROOT / "smsgw").parts]
        if here[0] == "core" and len(here) > 2
        for parts in _imports(path, tree)
        if parts[:2] == ["smsgw", "core"] and parts[2] != here[1]
        if CORE_RANKS[parts[2]] >= CORE_RANKS[here[1]]
    ]
    assert not wrong


def test_imports_stand_at_the_top():
    inside = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for path, tree in _trees()
        for function in ast.walk(tree)
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef)
        for node in ast.walk(function)
        if isinstance(node, ast.Import | ast.ImportFrom)
    ]
    assert not inside


def test_only_one_module_imports_by_name():
    """Which libraries are imported late is seen there, and where `lazy` and `load` are called."""
    others = {
        str(path.relative_to(ROOT / "smsgw"))
        for path, tree in _trees()
        for node in ast.walk(tree)
        if getattr(node, "id", getattr(node, "attr", getattr(node, "name", "")))
        in ("import_module", "__import__", "importlib")
    }
    assert others == {"lazy_imports.py"}


def test_only_endpoints_know_flask_and_only_delivery_calls_out():
    wrong = [
        f"{path.relative_to(ROOT)} imports {parts[0]}"
        for path, tree in _trees()
        for parts in _imports(path, tree)
        if (parts[0] in ("flask", "werkzeug") and RANKS.get(_name(path), 0) not in KNOW_FLASK)
        or (parts[0] in ("pycurl", "requests") and _name(path) != "delivery")
    ]
    assert not wrong


# On SQLite and without RabbitMQ. What they hold in memory, each of them holds it, and each start imports it.
NEVER = (
    "psycopg sqlalchemy.dialects.postgresql alembic pika rich segno markdown_it requests environs argon2 pyotp "
    "webauthn cryptography cbor2"
)
NOT_FOR_WEB = f"{NEVER} pycurl"
NOT_FOR_A_WORKER = f"{NEVER} pycurl flask flask_wtf werkzeug jinja2 marshmallow webargs apispec gunicorn click wsproto"
NOT_FOR_A_COMMAND = f"{NOT_FOR_A_WORKER} prometheus_client phonenumbers".replace(" click", "")
NO_DATABASE = f"{NOT_FOR_A_COMMAND} sqlalchemy sqlite3 asyncio smsgw.store smsgw.core smsgw.http"


@pytest.mark.parametrize(
    ("program", "names"),
    [
        ("from smsgw.server import supervisor", f"{NO_DATABASE} click"),
        ("from smsgw.server import supervisor as s; s.load(*s._SHARED)", NOT_FOR_A_WORKER),
        ("import smsgw.server.gunicorn_app", NOT_FOR_WEB),
        ("import smsgw.delivery.worker", NOT_FOR_A_WORKER),
        ("import smsgw.server.preparation", NOT_FOR_A_COMMAND),
        ("from smsgw.__main__ import main; main()", f"{NO_DATABASE} smsgw.server"),
        ("import smsgw.cli.serve", NO_DATABASE),
        ("import smsgw.cli.worker", NOT_FOR_A_WORKER.replace(" click", "")),
        ("import smsgw.cli.devices, smsgw.cli.messages, smsgw.cli.setup", NOT_FOR_A_COMMAND),
    ],
)
def test_each_process_and_command_imports_only_what_it_needs(program: str, names: str):
    found = f"[name for name in {names.split()} if name in sys.modules]"
    code = f"import atexit, sys; atexit.register(lambda: print({found})); {program}"
    run = subprocess.run(
        [sys.executable, "-c", code, "--help"], cwd=ROOT, check=True, capture_output=True, text=True
    )
    assert run.stdout.splitlines()[-1] == "[]"


def test_only_the_store_commits_and_rolls_back():
    wrong = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for path, tree in _trees()
        if path not in (ROOT / "smsgw/store/db.py", ROOT / "smsgw/store/sessions.py")
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and node.attr in ("commit", "rollback")
    ]
    assert not wrong


def test_queries_are_made_once_at_the_top_of_their_module():
    inside = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for path, tree in _trees()
        if path.parent.name != "store"
        for function in ast.walk(tree)
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        for node in ast.walk(function)
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") in STATEMENTS
    ]
    assert not inside


def test_statements_stand_before_the_functions_that_use_them():
    late = []
    for path, tree in _trees():
        used: dict[str, int] = {}
        for node in tree.body:
            if isinstance(node, ast.FunctionDef | ast.ClassDef):
                names = [each.id for each in ast.walk(node) if isinstance(each, ast.Name)]
                used.update({name: node.lineno for name in names if name not in used})
            elif isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None:
                target = node.targets[0] if isinstance(node, ast.Assign) else node.target
                name, value = ast.unparse(target), ast.unparse(node.value)
                is_statement = "sa." in value or value.partition("(")[0] in STATEMENTS
                if is_statement and name in used:
                    late.append(f"{path.relative_to(ROOT)}:{node.lineno} {name}")
    assert not late


def test_nobody_above_core_knows_how_the_database_is_asked():
    """The store names what a `Session` is, and rows may be read. Statements, columns and drivers are core's."""
    wrong = [
        f"{path.relative_to(ROOT)} imports {'.'.join(parts)}"
        for path, tree in _above_core()
        for parts in _imports(path, tree)
        if parts[0] in DATABASE_LIBRARIES
        or (parts[:2] == ["smsgw", "store"] and not set(parts[2:3]) <= STORE_ABOVE_CORE)
    ]
    assert not wrong


def test_nobody_above_core_runs_a_statement_or_names_a_column():
    wrong = [
        f"{path.relative_to(ROOT)}:{node.lineno} {ast.unparse(node)}"
        for path, tree in _above_core()
        for models in [
            {
                parts[-1]
                for parts in _imports(path, tree)
                if parts[:3] == ["smsgw", "store", "models"]
            }
        ]
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name)
        if node.value.id in models or (node.value.id == "session" and node.attr in ASK)
    ]
    assert not wrong


def _above_core() -> Iterator[tuple[Path, ast.Module]]:
    return ((path, tree) for path, tree in _trees() if RANKS.get(_name(path), 0) > RANKS["core"])


def test_statements_that_write_to_audited_tables_write_no_audited_column_or_note_it_themselves():
    """What is changed through a row is noted when it is flushed; a statement is not seen there."""
    places = {
        str(path.relative_to(ROOT / "smsgw"))
        for path, tree in _trees()
        if path.parent.name != "versions"
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and _is_to_be_noted(node)
    }
    assert places == NOTE_WHAT_THEIR_STATEMENTS_WRITE


def _is_to_be_noted(call: ast.Call) -> bool:
    """Whether the call builds a statement that writes something audited: any but an update of other columns alone."""
    found = WRITES_TO_AUDITED.match(ast.unparse(call))
    if found is None or found["kind"] != "update":
        return found is not None
    if getattr(call.func, "attr", "") != "values":
        return False
    names = {keyword.arg for keyword in call.keywords}
    for argument in call.args:
        keys = argument.keys if isinstance(argument, ast.Dict) else [argument]
        names |= {getattr(key, "attr", None) for key in keys}
    unaudited = {table.__name__: audited.unaudited for table, audited in AUDITED.items()}
    return not names <= unaudited.get(found["table"], frozenset())


def test_only_statuses_spells_the_statuses():
    """Everybody else names them: `statuses.SENT`."""
    words = set(statuses.OUTBOUND) | set(statuses.INBOUND)
    spelled = {
        str(path.relative_to(ROOT / "smsgw"))
        for path, tree in _trees()
        if not {"versions", "examples"} & set(path.parts)
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
        if node.value in words or any(f"'{word}'" in node.value for word in words)
    }
    assert spelled <= {"sms/statuses.py"} | SAY_THE_SAME_OF_OTHER_THINGS


def test_a_class_name_is_of_one_class_only():
    """Private ones too, with and without the underscore; marshmallow wants its `Meta` in each schema."""
    places: dict[str, list[str]] = {}
    for path, tree in _trees():
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef) and node.name != "Meta":
                places.setdefault(node.name.lstrip("_"), []).append(
                    f"{path.relative_to(ROOT)}:{node.lineno}"
                )
    assert not {name: found for name, found in places.items() if len(found) > 1}


def test_functions_fit_on_a_screen():
    long = [
        f"{path.relative_to(ROOT)} {node.name} has {lines} lines"
        for path, tree in _trees()
        if path.parent.name != "versions"
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        for lines in [(node.end_lineno or 0) - node.lineno + 1]
        if lines > MOST_LINES_OF_A_FUNCTION
    ]
    assert not long


def test_modules_fit_on_a_few_screens():
    long = {
        str(path.relative_to(ROOT))
        for path in SOURCES
        if path.parent.name != "versions"
        if len(path.read_text().splitlines()) > MOST_LINES_OF_A_MODULE
    }
    assert not long


def test_public_functions_stand_before_private_ones():
    """Except private ones that a constant or a decorator needs when the module is imported."""
    late = []
    for path, tree in _trees():
        functions = [node for node in tree.body if isinstance(node, ast.FunctionDef)]
        needed = _needed_at_import(tree, functions)
        first_private = min(
            (
                node.lineno
                for node in functions
                if node.name.startswith("_") and node.name not in needed
            ),
            default=sys.maxsize,
        )
        late += [
            f"{path.relative_to(ROOT)}:{node.lineno} {node.name}"
            for node in functions
            if not node.name.startswith("_") and node.lineno > first_private
        ]
    assert not late


def _needed_at_import(tree: ast.Module, functions: list[ast.FunctionDef]) -> set[str]:
    bodies = {node.name: _names(node) for node in functions}
    needed = {
        name
        for node in tree.body
        for part in (node.decorator_list if isinstance(node, ast.FunctionDef) else [node])
        if not isinstance(part, ast.ClassDef)
        for name in _names(part)
    }
    while more := {name for each in needed & bodies.keys() for name in bodies[each]} - needed:
        needed |= more
    return needed


def _names(tree: ast.AST) -> set[str]:
    return {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}


def test_only_settings_read_the_environment():
    allowed = {
        "environment.py",
        "env_files.py",
        "settings.py",
        "metrics.py",
        "server/supervisor.py",
        "cli/serve.py",
    }
    readers = {
        str(path.relative_to(ROOT / "smsgw"))
        for path, tree in _trees()
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and node.attr in ("environ", "getenv")
        if isinstance(node.value, ast.Name) and node.value.id == "os"
    }
    assert readers <= allowed


def test_bodies_are_read_with_a_limit_in_one_place_only():
    readers = {
        str(path.relative_to(ROOT / "smsgw"))
        for path, tree in _trees()
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute)
        and node.attr in ("get_json", "json", "form", "files", "data", "get_data", "stream")
        and getattr(node.value, "id", "") in ("request", "asking", "req")
    }
    assert readers == {"http/bodies.py"}
    unlimited = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for path, tree in _trees()
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and ast.unparse(node.func) == "bodies.read"
        and not ast.unparse(node).endswith("(MAX_BODY_BYTES)")
    ]
    assert not unlimited


def test_everything_is_caught_in_four_places_only():
    broad = [
        str(path.relative_to(ROOT / "smsgw"))
        for path, tree in _trees()
        for node in ast.walk(tree)
        if isinstance(node, ast.ExceptHandler)
        and (node.type is None or getattr(node.type, "id", "") in ("Exception", "BaseException"))
    ]
    assert len(broad) <= 4, broad


def test_every_route_says_who_may_call(settings: Settings):
    with application(settings) as app:
        unguarded = [
            f"{rule.rule} ({rule.endpoint})"
            for rule in app.url_map.iter_rules()
            for view in [app.view_functions[rule.endpoint]]
            if not _guard(app, view, rule.endpoint)
        ]
    assert not unguarded


def _guard(app: Flask, view: object, endpoint: str) -> str | None:
    """The guard of a view, of each of a class view's methods, or of its whole blueprint."""
    blueprint = app.blueprints.get(endpoint.rpartition(".")[0])
    found = getattr(view, "guard", None) or getattr(blueprint, "guard", None)
    view_class = getattr(view, "view_class", None)
    if found is None and view_class is not None:
        methods = [getattr(view_class, method.lower(), None) for method in view_class.methods]
        guards = [getattr(method, "guard", None) for method in methods]
        return guards[0] if guards and all(guards) else None
    return found


def test_only_signing_in_and_files_of_the_dashboard_are_for_everybody(settings: Settings):
    with application(settings) as app:
        everybodys = {
            endpoint
            for endpoint, view in app.view_functions.items()
            if endpoint.startswith("dashboard.") and getattr(view, "guard", None) not in ROLES
        }
    assert everybodys == {
        "dashboard.sign_in",
        "dashboard.try_to_sign_in",
        "dashboard.passkey_to_sign_in",
        "dashboard.sign_out",
        "dashboard.static_file",
    }


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: path.name)
def test_templates_have_no_style_script_or_handler_of_their_own_and_escape_everything(path: Path):
    wrong = re.findall(
        r"<style|\sstyle=|<script(?![^>]*\ssrc=)|\son[a-z]+=|\|\s*safe|autoescape", path.read_text()
    )
    assert not wrong


def test_the_table_of_settings_lists_all_of_them_in_their_order():
    page = (ROOT / "docs" / "settings.md").read_text()
    table = re.findall(r"^\| `(SMSGW_[A-Z_]+)`", page, re.MULTILINE)
    assert table == settings_module.environment_names()


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_module_starts_with_a_line_on_what_lives_there(path: Path):
    text = path.read_text()
    assert not text or ast.get_docstring(ast.parse(text)), path


def test_docstrings_of_functions_and_modules_begin_with_a_verb_and_those_of_classes_name_a_thing():
    wrong = [
        f"{path.relative_to(ROOT)}:{getattr(node, 'lineno', 1)} {text.splitlines()[0]}"
        for path, tree in _trees()
        for node in ast.walk(tree)
        if isinstance(node, ast.Module | ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
        for text in [ast.get_docstring(node) or ""]
        if (CLAUSE if isinstance(node, ast.ClassDef) else NO_VERB).match(text)
    ]
    assert not wrong


@pytest.mark.parametrize("entry", databases.SQLITE_ALONE + databases.ON_BOTH_ALL_THE_SAME)
def test_the_lists_of_tests_by_database_name_what_is_there(entry: str):
    name, _, test = entry.partition("::")
    path = ROOT / "tests" / name
    assert path.is_dir() if name.endswith("/") else f"def {test}" in path.read_text()
