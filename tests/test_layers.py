"""The arrows between our packages, read from the source: nobody imports what the layers forbid."""

import ast
import importlib.util
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
OURS = {"render", "shards", "tap", "cli", "tests", "benchmarks"}
ALLOWED = {
    "render": {"render"},
    "shards": {"shards"},
    "tap": {"tap", "shards", "render.camera", "render.farthest", "render.rig", "render.errors"},
    "cli": {"cli", "render", "shards", "tap"},
}


def imported_names(path: Path) -> list[str]:
    """Every absolute module name that a file imports, wherever in the file."""
    names: list[str] = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            # `from render import camera` names the module in the second half
            is_package = (ROOT / (node.module or "").replace(".", "/")).is_dir()
            names += [f"{node.module}.{alias.name}" if is_package else str(node.module) for alias in node.names]
    return names


@pytest.mark.parametrize("package", sorted(ALLOWED))
def test_package_imports_only_what_its_layer_may(package: str) -> None:
    files = sorted((ROOT / package).rglob("*.py"))
    assert files
    for path in files:
        for name in imported_names(path):
            if name.split(".")[0] not in OURS:
                continue
            allowed = any(name == prefix or name.startswith(f"{prefix}.") for prefix in ALLOWED[package])
            assert allowed, f"{path.relative_to(ROOT)} imports {name}; {package} may import {sorted(ALLOWED[package])}"


@pytest.mark.parametrize("package", sorted(ALLOWED))
def test_common_words_resolve_inside_this_repository(package: str) -> None:
    spec = importlib.util.find_spec(package)
    assert spec is not None
    assert spec.origin is not None
    assert Path(spec.origin).resolve().is_relative_to(ROOT)


@pytest.mark.parametrize("package", sorted(ALLOWED))
def test_every_folder_of_modules_is_packaged(package: str) -> None:
    import tomllib

    listed = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"]["packages"]
    folders = {path.parent.relative_to(ROOT).as_posix().replace("/", ".") for path in (ROOT / package).rglob("*.py")}
    assert folders <= set(listed)
