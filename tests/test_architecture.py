"""The import rules of docs/architecture.md, read off the syntax trees of all files."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
MAY_IMPORT = {  # of the project's packages, besides itself
    "firmware_templates": set(),
    "sim": set(),
    "codegen": {"sim", "firmware_templates"},
    "train": {"sim", "codegen"},
}
FOLDERS = (*MAY_IMPORT, "tests", "benchmarks", "scripts")
DISTRIBUTION = {
    "google": "protobuf",
    "elftools": "pyelftools",
    "serial": "pyserial",
}  # of top-level modules that are not called like their distribution
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def trees(folder: str) -> Iterator[tuple[Path, ast.Module]]:
    for path in sorted((ROOT / folder).rglob("*.py")):
        yield path.relative_to(ROOT), ast.parse(path.read_text(encoding="utf-8"), path)


def imports(tree: ast.Module) -> Iterator[tuple[str, str, str]]:
    """(module, name taken from it or "", name it is bound to) of every import, nested ones included."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, "", alias.asname or alias.name.split(".")[0]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative imports hide the package they cross"
            for alias in node.names:
                yield node.module or "", alias.name, alias.asname or alias.name


def imported_packages(folder: str) -> dict[str, Path]:
    """Top-level packages that `folder` imports, each with one file that does."""
    return {
        module.split(".")[0]: path
        for path, tree in trees(folder)
        for module, _, _ in imports(tree)
        if module.split(".")[0] != folder
    }


def private_crossings(package: str, tree: ast.Module) -> list[str]:
    """Names with a leading underscore that `tree`, a module of `package`, takes from other packages."""
    foreign = [found for found in imports(tree) if found[0].split(".")[0] in {*MAY_IMPORT} - {package}]
    crossings = [
        f"{module} {name}" for module, name, _ in foreign if any(map(is_private, [*module.split("."), name]))
    ]
    bound = {name for _, _, name in foreign}
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and is_private(node.attr):
            owner = node.value
            while isinstance(owner, ast.Attribute):
                owner = owner.value
            if isinstance(owner, ast.Name) and owner.id in bound:
                crossings.append(f"line {node.lineno}: {ast.unparse(node)}")
    return crossings


def is_private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__")


@pytest.mark.parametrize("package", MAY_IMPORT)
def test_packages_import_only_what_lies_below_them(package: str) -> None:
    found = imported_packages(package)
    projects = set(FOLDERS) & set(found)
    assert projects <= MAY_IMPORT[package], {name: str(found[name]) for name in projects}


def test_the_rules_are_no_wider_than_what_is_used() -> None:
    for package, allowed in MAY_IMPORT.items():
        assert allowed <= set(imported_packages(package)), package


@pytest.mark.parametrize("package", [package for package in MAY_IMPORT if package != "train"])
def test_only_training_knows_torch(package: str) -> None:
    assert "torch" not in imported_packages(package)


@pytest.mark.parametrize("folder", FOLDERS)
def test_nobody_imports_tests(folder: str) -> None:
    # "tests" itself too: with importlib as import mode a test module is no package to import from.
    offenders = [
        path
        for path, tree in trees(folder)
        if any(module.split(".")[0] == "tests" for module, _, _ in imports(tree))
    ]
    assert offenders == []


@pytest.mark.parametrize("package", MAY_IMPORT)
def test_no_private_name_crosses_a_package(package: str) -> None:
    crossings = {
        str(path): found for path, tree in trees(package) if (found := private_crossings(package, tree))
    }
    assert crossings == {}


@pytest.mark.parametrize(
    "source",
    [
        "from codegen.build import _run",
        "from codegen.build import _run as run",
        "from codegen._build import run",
        "import codegen._build",
        "def f():\n    import codegen.build\n    codegen.build._run()",
        "from codegen import build as b\nb._run()",
    ],
)
def test_private_crossings_are_found(source: str) -> None:
    assert len(private_crossings("train", ast.parse(source))) == 1
    assert private_crossings("codegen", ast.parse(source)) == []


def declared() -> dict[str, str]:
    """Distribution -> version specifier of everything the program needs at run time."""
    found = {}
    for requirement in PROJECT["dependencies"]:
        name, specifier = re.fullmatch(r"([A-Za-z0-9._-]+)\s*(.*)", requirement).groups()
        found[name.lower()] = specifier
    return found


def test_runtime_dependencies_are_pinned_or_bounded() -> None:
    loose = {name: text for name, text in declared().items() if not re.search(r"==\d[\w.]*$|<\d", text)}
    assert loose == {}


@pytest.mark.parametrize("package", MAY_IMPORT)
def test_every_third_party_import_is_declared(package: str) -> None:
    found = imported_packages(package)
    foreign = set(found) - set(sys.stdlib_module_names) - set(MAY_IMPORT)
    undeclared = {
        name: str(found[name]) for name in foreign if DISTRIBUTION.get(name, name) not in declared()
    }
    assert undeclared == {}
