"""The figures of the house, read off the source: sizes, names, frozen values, what a clone may not carry.

They are what well-kept programs of this field look like. When one stands in the way of a better shape, change the
figure here and say why; do not trick it.
"""

from __future__ import annotations

import ast
import re
import statistics
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = sorted((ROOT / "sync_profiles").rglob("*.py"))
TESTS = sorted((ROOT / "tests").rglob("*.py"))

MODULE_LINES_MAX = 350
FUNCTION_LINES_MAX = 50
FUNCTION_LINES_MEDIAN_MAX = 8
PARAMETERS_MAX = 6
PUBLIC_NAMES_MAX = 8
TEST_LINES_PER_LINE = (1.1, 2.5)
"""A row of a table is a test here, so less than the usual 1.2 says as much."""
RUNTIME_DEPENDENCIES_MAX = 11

VOCABULARIES = {
    "core/types.py", "core/ports.py", "core/events.py", "core/facts.py", "errors.py",
    "config/model.py", "config/forms.py"
}  # fmt: skip
"""Modules of values, events, ports, errors or forms may have as many names, and lines, as there are words."""

WIRING = {"wiring.py"}
"""Opens each thing that a command may need: as many names as there are things."""

MUTABLE_VALUES: set[str] = {"Expanded"}
"""Structs and dataclasses that are not frozen; three at most."""

FORBIDDEN = {"job", "task", "item", "data", "info", "manager", "handler", "helper", "util"}
FOREIGN_NAMES = {
    "do_GET",  # http.server calls methods of these names
    "do_POST",
    "proxy_manager_for",  # a method of requests' adapter
}
FOREIGN_PARAMETERS = {("observe/terminal.py", "task")}  # rich passes its own Task under this name

BARE_SUPPRESSION = re.compile(r"# (?:noqa(?:: [A-Z0-9, ]+)?|type: ignore(?:\[[\w, -]+\])?)\s*$")

Function = ast.FunctionDef | ast.AsyncFunctionDef


def label(path: Path) -> str:
    return path.relative_to(ROOT / "sync_profiles").as_posix()


def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text("utf-8"))


def functions(path: Path) -> Iterator[Function]:
    yield from (node for node in ast.walk(tree(path)) if isinstance(node, Function))


def docstring_lines(node: Function) -> int:
    first = node.body[0]
    is_text = (
        isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str)
    )
    return first.end_lineno - first.lineno + 1 if is_text else 0


def length(function: Function) -> int:
    return function.end_lineno - function.lineno + 1 - docstring_lines(function)


def decorators(node: Function | ast.ClassDef) -> str:
    return " ".join(map(ast.unparse, node.decorator_list))


def code_lines(paths: list[Path]) -> int:
    """Lines that are neither blank nor comment nor docstring."""
    return sum(len(written_lines(path) - prose_lines(path)) for path in paths)


def written_lines(path: Path) -> set[int]:
    lines = enumerate(path.read_text("utf-8").splitlines(), start=1)
    return {number for number, line in lines if line.strip() and not line.strip().startswith("#")}


def prose_lines(path: Path) -> set[int]:
    """Lines of texts that stand by themselves."""
    nodes = [node for node in ast.walk(tree(path)) if isinstance(node, ast.Expr)]
    texts = [node for node in nodes if isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)]
    return {number for text in texts for number in range(text.lineno, (text.end_lineno or text.lineno) + 1)}


def offenders(found: Callable[[Path], object]) -> dict[str, object]:
    """What ``found`` objects to, by module, everything at once."""
    return {label(path): objection for path in PACKAGE if (objection := found(path))}


def test_a_module_can_be_read_in_one_sitting() -> None:
    def too_long(path: Path) -> int:
        lines = len(path.read_text("utf-8").splitlines())
        return lines if lines > MODULE_LINES_MAX else 0

    assert {name: lines for name, lines in offenders(too_long).items() if name not in VOCABULARIES} == {}


def test_a_function_fits_on_a_screen() -> None:
    def too_long(path: Path) -> dict[str, int]:
        return {one.name: length(one) for one in functions(path) if length(one) > FUNCTION_LINES_MAX}

    assert offenders(too_long) == {}


def test_the_usual_function_is_short() -> None:
    assert statistics.median(length(one) for path in PACKAGE for one in functions(path)) <= FUNCTION_LINES_MEDIAN_MAX


def test_a_function_takes_few_parameters() -> None:
    """Commands are exempt: click fills their parameters, one for each flag."""

    def too_many(path: Path) -> dict[str, int]:
        counted = {one.name: parameters(one) for one in functions(path) if "command(" not in decorators(one)}
        return {name: count for name, count in counted.items() if count > PARAMETERS_MAX}

    assert offenders(too_many) == {}


def parameters(function: Function) -> int:
    arguments = [*function.args.posonlyargs, *function.args.args, *function.args.kwonlyargs]
    return len([argument for argument in arguments if argument.arg not in {"self", "cls"}])


def test_a_module_offers_few_names() -> None:
    def too_many(path: Path) -> list[str]:
        names = [node.name for node in tree(path).body if isinstance(node, Function | ast.ClassDef)]
        public = [name for name in names if not name.startswith("_")]
        return public if len(public) > PUBLIC_NAMES_MAX and label(path) not in VOCABULARIES | WIRING else []

    assert offenders(too_many) == {}


def test_values_are_frozen() -> None:
    def thawed(path: Path) -> list[str]:
        classes = [node for node in ast.walk(tree(path)) if isinstance(node, ast.ClassDef) and is_value(node)]
        return [one.name for one in classes if "frozen=True" not in declaration(one) and one.name not in MUTABLE_VALUES]

    assert len(MUTABLE_VALUES) <= 3
    assert offenders(thawed) == {}


def is_value(node: ast.ClassDef) -> bool:
    return "dataclass" in decorators(node) or any(ast.unparse(base).endswith("Struct") for base in node.bases)


def declaration(node: ast.ClassDef) -> str:
    return decorators(node) + " ".join(map(ast.unparse, node.keywords))


def test_names_say_what_a_thing_is() -> None:
    def vague(path: Path) -> set[str]:
        bad = {name for name in {path.stem, *given_names(path)} if is_vague(name)}
        return {name for name in bad - FOREIGN_NAMES if (label(path), name) not in FOREIGN_PARAMETERS}

    assert offenders(vague) == {}


def given_names(path: Path) -> Iterator[str]:
    """Every name that the module itself gives; names that others gave, such as ``dict.items``, are not its fault."""
    for node in ast.walk(tree(path)):
        match node:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                yield name
            case ast.arg(arg=name) | ast.Name(id=name, ctx=ast.Store()) | ast.Attribute(attr=name, ctx=ast.Store()):
                yield name


def is_vague(name: str) -> bool:
    words = {word.lower() for word in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+", name)}
    singular = {word.removesuffix("s") for word in words}
    return bool((words | singular) & FORBIDDEN) or name == "process" or name.startswith("do_")


@pytest.mark.parametrize("name", ["row_data", "JobQueue", "items", "process", "do_send", "_HANDLERS", "pageInfo"])
def test_a_vague_name_is_seen(name: str) -> None:
    assert is_vague(name)


@pytest.mark.parametrize("name", ["metadata", "database", "informed", "processed", "profiles", "utility"])
def test_a_word_that_merely_contains_a_vague_one_is_not(name: str) -> None:
    assert not is_vague(name)


def test_every_suppression_says_why() -> None:
    def bare(path: Path) -> list[int]:
        lines = enumerate(path.read_text("utf-8").splitlines(), start=1)
        return [number for number, line in lines if BARE_SUPPRESSION.search(line)]

    assert offenders(bare) == {}


def test_nothing_is_left_for_later() -> None:
    marks = re.compile("|".join([r"\bTO" + r"DO\b", r"\bFIX" + r"ME\b", r"\bX" + r"XX\b"]))
    assert [path.name for path in (*PACKAGE, *TESTS) if marks.search(path.read_text("utf-8"))] == []


def test_there_is_about_as_much_test_as_a_reader_can_trust() -> None:
    low, high = TEST_LINES_PER_LINE
    assert low <= code_lines(TESTS) / code_lines(PACKAGE) <= high


def test_the_program_stands_on_few_packages() -> None:
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["dependencies"]
    assert len(declared) <= RUNTIME_DEPENDENCIES_MAX


def test_the_lock_pins_every_package_by_hash_and_names_no_index() -> None:
    text = (ROOT / "requirements.lock").read_text("utf-8")
    pinned = [block for block in re.split(r"\n(?=\S)", text) if "==" in block]
    assert "://" not in text
    assert pinned
    assert [block for block in pinned if "--hash=sha256:" not in block] == []


def test_the_lock_holds_every_package_that_is_declared() -> None:
    """``make lock`` was forgotten when this fails."""
    document = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    declared = [
        *document["project"]["dependencies"],
        *document["project"]["optional-dependencies"]["mysql"],
        *document["dependency-groups"]["dev"],
    ]
    names = {re.split(r"[^\w.-]", one)[0].lower().replace("_", "-") for one in declared}
    locked = set(re.findall(r"^([\w.-]+)==", (ROOT / "requirements.lock").read_text("utf-8"), re.MULTILINE))
    assert names <= locked
