"""What imports what: arrows point one way, nothing heavy is imported before it is used, no backend has a name here."""

import ast
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CORE = ROOT / "pycrograd_core"

LAYERS = [  # each unit of the core, a module or a package, imports from layers above its own line only
    {"errors"},
    {"cache", "limits", "op", "random", "registry"},
    {"host", "operand"},
    {"matrix", "ops"},
    {"host_kernels"},
    {"methods", "plugins"},
    {"autograd", "environment"},
    {"tensor"},
    {"config", "data", "nn", "numerical", "optim"},
    {"capture"},
    {"benchmark", "conformance", "scaffold", "training"},
    {"cli"},
]
LEVEL = {unit: level for level, units in enumerate(LAYERS) for unit in units}
MUTUAL = {("autograd", "tensor")}  # grad() returns tensors, which need the engine
KERNELS_NEED = {"cache", "capture", "errors", "matrix", "op", "ops", "plugins"}  # what a backend imports of the core
REHEARSALS_NEED = KERNELS_NEED | {"Tensor", "optim"}  # and to tune, for which it trains networks of its own

ENTRY_POINTS = [
    tuple(entry.items())
    for project in ROOT.glob("backends/*/pyproject.toml")
    if (entry := tomllib.loads(project.read_text())["project"]["entry-points"]["pycrograd"])
]
NAMES = {name for entries in ENTRY_POINTS for name, _ in entries}
PACKAGES = {target.split(".")[0] for entries in ENTRY_POINTS for _, target in entries}


def sources(*folders):
    return [path for folder in folders for path in sorted(folder.rglob("*.py"))]


def for_types_alone(tree):
    """The nodes under `if TYPE_CHECKING:`, which never run."""
    return {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        for statement in node.body
        for inner in ast.walk(statement)
    }


def imports(source, package=""):
    """The dotted names that a source imports when it runs, at its top or within a function, made absolute."""
    tree = ast.parse(source)
    skipped = for_types_alone(tree)
    for node in ast.walk(tree):
        if id(node) in skipped:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            parents = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            base = ".".join([*parents, *([node.module] if node.module else [])])
            yield from (f"{base}.{alias.name}" for alias in node.names)


def units(names):
    """The units of the core among imported names."""
    parts = [name.split(".") for name in names if name.startswith("pycrograd_core.")]
    return {each[1] for each in parts if not each[1].startswith("__")}


def package_of(path):
    return ".".join(path.relative_to(ROOT).parent.parts)


def upward(unit, imported):
    """Imports that point the wrong way."""
    return {(unit, each) for each in imported - {unit} if LEVEL[each] >= LEVEL[unit]} - MUTUAL


def test_every_unit_has_its_layer():
    found = {path.stem if path.is_file() else path.name for path in CORE.iterdir() if path.suffix in ("", ".py")}
    assert found - {"__init__", "__pycache__"} <= LEVEL.keys()


@pytest.mark.parametrize("path", sources(CORE), ids=lambda path: str(path.relative_to(CORE)))
def test_arrows_point_one_way(path):
    unit = path.relative_to(CORE).parts[0].removesuffix(".py")
    if unit != "__init__":  # which resolves the public names on first use
        assert upward(unit, units(imports(path.read_text(), package_of(path)))) == set()


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("from pycrograd_core.tensor import Tensor", {"tensor"}),
        ("from pycrograd_core import nn, ops", {"nn", "ops"}),
        ("def f():\n    import pycrograd_core.capture.symbolic", {"capture"}),
        ("from .. import autograd", {"autograd"}),
        ("from ..tensor import Tensor\nfrom .shapes import same", {"tensor", "ops"}),
        ("if TYPE_CHECKING:\n    from ..tensor import Tensor", set()),
        ("import numpy, pluggy", set()),
    ],
)
def test_imports_are_found(source, found):
    assert units(imports(source, "pycrograd_core.ops")) == found
    assert upward("ops", found) == {("ops", unit) for unit in found & {"tensor", "nn", "capture", "autograd"}}


@pytest.mark.parametrize(
    "path", sources(*ROOT.glob("backends/*/pycrograd_*")), ids=lambda path: str(path.relative_to(ROOT))
)
def test_a_backend_imports_the_contract_and_no_more(path):
    folder = path.relative_to(ROOT).parts[2:-1]
    needed = REHEARSALS_NEED if "tuning" in folder else KERNELS_NEED
    assert units(imports(path.read_text(), ".".join(folder))) <= needed


# Names of backends -------------------------------------------------------------------------------------------------


def chosen_by(node):
    """The parts of a node that decide, if it does: of a comparison, a case, or a call that names a backend."""
    if isinstance(node, (ast.Compare, ast.MatchValue)):
        yield node
    elif isinstance(node, ast.Call):
        if isinstance(node.func, ast.Name) and node.func.id in ("get_backend", "use_backend"):
            yield from node.args
        yield from (keyword.value for keyword in node.keywords if keyword.arg == "backend")


def named(source):
    """The places that depend on a backend by its name, or import its package.

    A name alone is nothing: it may be that of a library or of the interpreter, in a list of versions.
    """
    for node in ast.walk(ast.parse(source)):
        inner = [each for part in chosen_by(node) for each in ast.walk(part)]
        yield from (each.value for each in inner if isinstance(each, ast.Constant) and each.value in NAMES)
    yield from (name for name in imports(source) if name.split(".")[0] in PACKAGES)


@pytest.mark.parametrize("folder", [CORE, ROOT / "tests" / "core"], ids=lambda folder: folder.name)
def test_no_backend_is_named(folder):
    found = {str(path.relative_to(ROOT)): list(named(path.read_text())) for path in sources(folder)}
    assert {path: names for path, names in found.items() if names} == {}


def test_a_name_would_be_found():
    name, package = min(NAMES), min(PACKAGES)
    for branch in (
        f"if backend == {name!r}: pass",
        f"x = matrix.backend in ('a', {name!r})",
        f"match backend:\n    case {name!r}: pass",
        f"get_backend({name!r})",
        f"Tensor(1.0, backend={name!r})",
    ):
        assert list(named(branch)) == [name]
    assert list(named(f"def f():\n    from {package}.matrix import x")) == [f"{package}.matrix.x"]
    assert list(named(f"import numpy\nversions = {{{name!r}: 1}}\nx.numpy()")) == []
    assert len(NAMES) == len(PACKAGES) == len(list(ROOT.glob("backends/*/pyproject.toml")))


# What is imported when ---------------------------------------------------------------------------------------------

HEAVY = {"numpy", "scipy", "sklearn", "yaml", "pydantic", "rich", "safetensors", "pyopencl"}
STARTS = {
    "import pycrograd_core": HEAVY | PACKAGES | {"typer", "pluggy"},
    "from pycrograd_core import Tensor, nn, ops, optim, no_grad, use_backend": HEAVY | PACKAGES | {"typer"},
    "import pycrograd_core.data, pycrograd_core.cli": HEAVY | PACKAGES | {"typer"},
    "from pycrograd_core.training import Callback, Loss; from pycrograd_core.benchmark import Work": HEAVY | PACKAGES,
    "from pycrograd_core.plugins import candidates; candidates()": HEAVY | {"typer"},
    "import sys; sys.argv[1:] = ['--help']; from pycrograd_core.cli import main; main()": HEAVY | PACKAGES,
}


@pytest.mark.parametrize("code", STARTS)
def test_nothing_heavy_is_imported_before_it_is_used(code):
    report = "import atexit, sys; atexit.register(lambda: print(*{name.split('.')[0] for name in sys.modules}))\n"
    done = subprocess.run([sys.executable, "-c", report + code], capture_output=True, text=True, check=True)
    modules = set(done.stdout.splitlines()[-1].split())
    assert "pycrograd_core" in modules
    assert modules & STARTS[code] == set()
