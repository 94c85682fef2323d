"""The house's own rules: what imports what, how long a function may be, and what a wheel is told to contain."""

import ast
import configparser
import fnmatch
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ALLOWED = {
    "cli": {"cli", "api", "manager", "worker", "common"},
    "api": {"api", "manager", "common"},
    "manager": {"manager", "common"},
    "worker": {"worker", "common"},
    "common": {"common"},
}
"""Which folder may import which others."""
NOT_SHIPPED = {"tests", "bench", "deploy"}
HEAVY = {"sqlalchemy", "alembic", "flask", "marshmallow", "boto3", "kazoo", "cryptography"}

MOST_LINES = 300
LONG_MODULES = {
    "common/model.py": "the words of all parts in one place: values and enums, next to no code",
    "common/store/schema.py": "one table after the other, and what each column means; no code",
}
USUAL_FUNCTION = 30
MOST_FUNCTION = 50
LONG_FUNCTIONS = {
    "cli/embedded.py:run_embedded": "the parts of an install in the order in which they start and stop",
    "worker/standing.py:__init__": "one attribute after the other, each with what it means",
    "worker/assembly.py:assemble": "one constructor call after the other: every part of a worker by its name",
}
MOST_TEST_LINES = 400

SHARED_REASON = {"flask-smorest", "marshmallow", "pytest-timeout", "boto3-stubs", "types-python-crontab"}
"""Dependencies that the comment above another one speaks of too."""

SETUP = configparser.ConfigParser()
SETUP.read(ROOT / "setup.cfg")
PRODUCT = sorted(path for folder in ALLOWED for path in (ROOT / folder).rglob("*.py"))
OTHERS = sorted(path for folder in ("bench", "deploy") for path in (ROOT / folder).rglob("*.py"))
TESTS = sorted((ROOT / "tests").rglob("*.py"))
PAGES = [*ROOT.glob("*.md"), *ROOT.glob("bench/*.md"), *ROOT.glob("docs/**/*.md")]


def name(path: Path) -> str:
    """The path as people write it."""
    return path.relative_to(ROOT).as_posix()


def packages() -> list[str]:
    return SETUP["options"]["packages"].split()


def folder_of(package: str) -> Path:
    return ROOT / package.removeprefix("cronkeeper.").replace(".", "/")


def functions(path: Path) -> Iterator[tuple[str, int]]:
    """The name of each function in a file, and its lines."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert node.end_lineno is not None
            yield f"{name(path)}:{node.name}", node.end_lineno - node.lineno + 1


def imported(path: Path) -> Iterator[str]:
    """Every module that a file imports, anywhere in it, by its whole name."""
    package = ["cronkeeper", *path.relative_to(ROOT).parts[:-1]]
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join([*base, *([node.module] if node.module is not None else [])])
            yield from (f"{module}.{alias.name}" for alias in node.names)


def requirements() -> list[tuple[str, bool]]:
    """Each dependency in setup.cfg, and whether a comment stands right above it."""
    found = []
    inside, before = False, ""
    for line in (ROOT / "setup.cfg").read_text().splitlines():
        if not line.startswith(" "):
            inside = line.strip() in ("install_requires =", "dev =")
        elif inside and not line.strip().startswith("#"):
            found.append((re.split(r"[\s<>=!~\[;]", line.strip())[0], before.strip().startswith("#")))
        before = line
    return found


def loaded_by(*modules: str) -> set[str]:
    """What a fresh interpreter has loaded once it has imported these."""
    code = f"import sys, {', '.join(modules)}\nprint(*{{each.split('.')[0] for each in sys.modules}})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd="/")
    return set(done.stdout.split())


def test_every_folder_with_code_is_a_package_in_setup_cfg() -> None:
    roots = {path.parent for path in ROOT.glob("*/__init__.py")} - {ROOT / each for each in NOT_SHIPPED}
    found = {path.parent for root in roots for path in root.rglob("__init__.py")}
    assert {folder_of(package) for package in packages()} == found
    assert {path.parent for path in PRODUCT} == found, "a folder with code and without an __init__.py"
    assert packages() == sorted(packages())


def test_every_file_that_is_promised_to_the_wheel_is_there() -> None:
    data = SETUP["options.package_data"]
    assert "py.typed" in data["*"].split()
    for package in packages():
        for pattern in [*data["*"].split(), *data.get(package, "").split()]:
            assert list(folder_of(package).glob(pattern)), f"{package} has no {pattern}"
    assert set(data) - {"*"} <= set(packages())


def test_what_is_neither_code_nor_said_to_be_data_does_not_lie_between_the_code() -> None:
    data = SETUP["options.package_data"]
    for package in packages():
        wanted = [*data["*"].split(), *data.get(package, "").split()]
        files = (path for path in folder_of(package).iterdir() if path.is_file() and path.suffix != ".py")
        assert [each for each in files if not any(each.match(pattern) for pattern in wanted)] == []


def test_every_file_that_the_manifest_names_is_there() -> None:
    manifest = ROOT / "MANIFEST.in"
    for line in manifest.read_text().splitlines() if manifest.exists() else []:
        word, *patterns = line.split()
        below = patterns.pop(0) if word == "recursive-include" else "."
        assert word in ("include", "recursive-include", "graft"), line
        depth = "**/" if word == "recursive-include" else ""
        for pattern in patterns:
            assert list((ROOT / below).glob(depth + pattern)), f"nothing is {pattern}, in: {line}"


@pytest.mark.parametrize("folder", ALLOWED)
def test_imports_run_one_way(folder: str) -> None:
    wrong = [
        f"{name(path)} imports {module}"
        for path in PRODUCT
        if path.is_relative_to(ROOT / folder)
        for module in imported(path)
        if module.startswith("cronkeeper.") and module.split(".")[1] not in ALLOWED[folder]
    ]
    assert wrong == []


def test_imports_name_the_folders_below_cronkeeper() -> None:
    wrong = [
        f"{name(path)} imports {module}"
        for path in PRODUCT
        for module in imported(path)
        if module.split(".")[0] in ALLOWED
    ]
    assert wrong == []


@pytest.mark.parametrize("module", ["cronkeeper.cli.main", "cronkeeper.cli.up", "cronkeeper.worker.guard"])
def test_what_starts_the_rest_loads_nothing_heavy(module: str) -> None:
    assert loaded_by(module) & HEAVY == set()


def test_a_worker_without_scripts_loads_no_boto3_and_no_database() -> None:
    loaded = loaded_by("cronkeeper.cli.daemons", "cronkeeper.cli.wiring", "cronkeeper.worker.assembly")
    assert loaded & {"boto3", "botocore", "sqlalchemy", "alembic", "flask", "marshmallow"} == set()


def test_the_guard_imports_nothing_of_ours_and_no_package() -> None:
    modules = {module.split(".")[0] for module in imported(ROOT / "worker/guard.py")}
    assert modules <= sys.stdlib_module_names


def test_no_module_is_too_long() -> None:
    lengths = {name(path): len(path.read_text().splitlines()) for path in [*PRODUCT, *OTHERS]}
    long = {module for module, lines in lengths.items() if lines > MOST_LINES}
    assert long - LONG_MODULES.keys() == set()
    assert LONG_MODULES.keys() - long == set(), "these are short enough now"
    assert {name(path) for path in TESTS if len(path.read_text().splitlines()) > MOST_TEST_LINES} == set()


def test_no_function_is_too_long() -> None:
    lengths = dict(each for path in [*PRODUCT, *OTHERS] for each in functions(path))
    long = {function for function, lines in lengths.items() if lines > USUAL_FUNCTION}
    assert long - LONG_FUNCTIONS.keys() == set()
    assert LONG_FUNCTIONS.keys() - long == set(), "these are short enough now"
    everything = [*lengths.items(), *(each for path in TESTS for each in functions(path))]
    assert [each for each in everything if each[1] > MOST_FUNCTION] == []


def test_no_unit_test_sleeps() -> None:
    called = [
        (name(path), node.lineno)
        for path in (ROOT / "tests/unit").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call)
        and (node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", None))
        == "sleep"
    ]
    assert called == []


def test_every_dependency_has_a_reason_and_a_tested_version() -> None:
    found = requirements()
    assert len(found) > 20
    assert {each for each, commented in found if not commented} == SHARED_REASON
    pins = {line.partition("==")[0].lower() for line in (ROOT / "constraints.txt").read_text().splitlines()}
    assert {each for each, _ in found if each.lower() not in pins} == set()


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_every_link_of_a_page_leads_to_a_file_of_the_repository(page: Path) -> None:
    links = re.findall(r"\]\(([^)\s#]+)[^)]*\)", page.read_text())
    local = [link for link in links if "://" not in link and not link.startswith("mailto:")]
    targets = {link: (page.parent / link).resolve() for link in local}
    missing = {link for link, target in targets.items() if not target.exists()}
    outside = {link for link, target in targets.items() if not target.is_relative_to(ROOT)}
    assert missing | outside == set()


SYSTEM = {"bin", "dev", "etc", "proc", "run", "usr"}
EXAMPLES = {
    *("some/where", "tmp/hello.sh", "opt/cronkeeper"),
    *("var/lib/cronkeeper", "var/lib/zookeeper", "var/spool/cron"),
}
OF_THE_API = {
    "artifacts",
    "docs",
    "fleet",
    "health",
    "jobs",
    "metrics",
    "nodes",
    "openapi.json",
    "reports",
    "runs",
    "tokens",
}
OF_THE_TREE = {"mark", "noted", "changes", "cronkeeper", "epoch", "leader", "live", "nodes", "parked"}


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_a_page_names_only_paths_that_every_reader_has(page: Path) -> None:
    paths = re.findall(r"(?<![\w./:>)\]…*}-])/([a-z][\w.-]*(?:/[\w.-]+)*)", page.read_text())
    known = SYSTEM | OF_THE_API | OF_THE_TREE
    strange = {each for each in paths if each.split("/")[0] not in known}
    assert {each for each in strange if not any(each.startswith(example) for example in EXAMPLES)} == set()


def test_the_page_on_architecture_names_every_module_and_none_that_is_gone() -> None:
    page = (ROOT / "docs/architecture.md").read_text()
    named = {each.rpartition("/")[2] for each in re.findall(r"[\w*/]+\.(?:py|sh)\b", page)}
    files = {
        path.name
        for folder in ALLOWED
        for path in (ROOT / folder).rglob("*.*")
        if path.suffix in (".py", ".sh")
    }
    there = files | {path.name for path in TESTS}
    assert {each for each in named if not fnmatch.filter(there, each)} == set()
    steps = {path.name for path in (ROOT / "common/store/migrations").rglob("*.py")} | {"__init__.py"}
    assert {
        each for each in files - steps if not any(fnmatch.fnmatch(each, known) for known in named)
    } == set()
