"""What `new-backend` writes in each language, and when it writes nothing."""

import ast
import errno
import inspect
import subprocess
import tomllib
from pathlib import Path
from string import Template

import pytest

from pycrograd_core.errors import BackendError, OptionError, PycrogradError
from pycrograd_core.matrix import CONTRACT, Matrix
from pycrograd_core.scaffold import LANGUAGES, write
from pycrograd_core.scaffold.package import TEMPLATES

ROOT = Path(__file__).parents[2]
NAME = "a-quite-long-name"
MODULE, CLASS = "pycrograd_a_quite_long_name", "AQuiteLongNameMatrix"

SHARED = {
    ".gitignore", "README.md", "pyproject.toml", "tests/test_conformance.py",
    *(f"{MODULE}/{file}" for file in ("__init__.py", "plugin.py", "matrix.py", "expected_failures.toml")),
}  # fmt: skip
FILES = {
    "python": SHARED,
    "c": SHARED | {"setup.py", f"{MODULE}/kernels.c", f"{MODULE}/kernels_build.py"},
    "rust": SHARED | {"Cargo.toml", "src/lib.rs"},
}
WRITTEN = {  # the kernels that are more than a call of the slow one
    "python": {"from_host", "to_host", "assign"},
    "c": {"from_host", "to_host", "assign", "exp", "add", "sum", "matmul"},
    "rust": {"from_host", "to_host", "assign", "exp", "add", "sum", "matmul"},
}


@pytest.fixture(params=LANGUAGES)
def language(request):
    return request.param


@pytest.fixture
def package(tmp_path, language):
    """The folder of a new package."""
    return write(NAME, language, tmp_path)[0]


def methods(package):
    """The functions of the matrix class, by name, in their order."""
    (owner,) = [node for node in tree(package / MODULE / "matrix.py").body if isinstance(node, ast.ClassDef)]
    assert owner.name == CLASS
    return {node.name: node for node in owner.body if isinstance(node, ast.FunctionDef)}


def tree(file):
    return ast.parse(file.read_text("utf-8"))


def test_the_files(tmp_path, language):
    package, files = write(NAME, language, tmp_path / "new" / "folder")
    assert package == tmp_path / "new" / "folder" / f"pycrograd-{NAME}"
    assert files == sorted(FILES[language])
    assert {path.relative_to(package).as_posix() for path in package.rglob("*") if path.is_file()} == FILES[language]


def test_no_template_is_left_out():
    folders = {folder for language in LANGUAGES.values() for folder in language.folders}
    assert folders == {path.name for path in TEMPLATES.iterdir()}
    assert all(path.suffix == ".template" for path in TEMPLATES.rglob("*") if path.is_file())


def test_every_name_is_filled_in(package):
    for path in package.rglob("*"):
        if path.is_file():
            text = path.read_text("utf-8")
            assert text.endswith("\n")
            assert Template(text).get_identifiers() == []


def test_what_the_files_say(package, language):
    project = tomllib.loads((package / "pyproject.toml").read_text("utf-8"))["project"]
    assert project["name"] == f"pycrograd-{NAME}"
    assert project["entry-points"] == {"pycrograd": {NAME: f"{MODULE}.plugin"}}
    plugin = (package / MODULE / "plugin.py").read_text("utf-8")
    assert f'name="{NAME}"' in plugin
    assert f"contract={CONTRACT}" in plugin
    assert LANGUAGES[language].title in plugin
    assert f"pycrograd check {NAME}" in (package / "README.md").read_text("utf-8")
    conformance = tree(package / "tests" / "test_conformance.py")
    assert [node.name for node in conformance.body if isinstance(node, ast.ClassDef)] == ["TestAQuiteLongName"]
    assert tomllib.loads((package / MODULE / "expected_failures.toml").read_text("utf-8")) == {"expected_failures": {}}


def test_ruff_has_nothing_to_say(package):
    """By the package's own settings, and by those of this repository but for what depends on whose a module is."""
    ruff = ["uv", "run", "--quiet", "--group", "lint", "ruff"]
    ours = ["--config", ROOT / "pyproject.toml", "--ignore", "I,TC"]
    for command in (["check", "--extend-select", "I"], ["check", *ours], ["format", "--diff"]):
        words = [str(word) for word in (*ruff, *command, "--no-cache", package)]
        done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr


# The contract ------------------------------------------------------------------------------------------------------


def test_the_matrix_shows_every_kernel_of_the_contract(package):
    shown, contract = methods(package), [name for name in vars(Matrix) if name in Matrix.__abstractmethods__]
    assert [name for name in shown if name in contract] == contract
    for name in contract:
        theirs = vars(Matrix)[name]
        bound = isinstance(theirs, classmethod)
        signature = inspect.signature(theirs.__func__ if bound else theirs)
        assert ast.get_docstring(shown[name]) == inspect.getdoc(theirs)
        assert parameters(signature_of(shown[name])) == parameters(signature)
        assert [ast.unparse(each) for each in shown[name].decorator_list] == ["classmethod"] * bound


def parameters(signature):
    return [(each.name, each.kind, each.default) for each in signature.parameters.values()]


def signature_of(node):
    """As `inspect` would tell it."""
    found = {}
    exec(f"from __future__ import annotations\ndef f({ast.unparse(node.args)}): pass", found)
    return inspect.signature(found["f"])


def test_all_other_kernels_call_the_slow_one_with_all_that_they_are_given(package, language):
    for name in Matrix.__abstractmethods__ - WRITTEN[language]:
        node = methods(package)[name]
        _, *arguments = [each.arg for each in (*node.args.args, *node.args.kwonlyargs)]
        arguments += [node.args.vararg.arg] if node.args.vararg else []
        (call,) = [each for each in ast.walk(node) if isinstance(each, ast.Call) and ast.unparse(each) != "super()"]
        assert ast.unparse(call.func) == f"super().{name}"
        assert sorted(each.id for each in ast.walk(call) if isinstance(each, ast.Name)) == sorted(["super", *arguments])


# Refusals ----------------------------------------------------------------------------------------------------------


def test_an_existing_folder_is_left_alone(tmp_path, language):
    existing = tmp_path / f"pycrograd-{NAME}"
    existing.mkdir()
    with pytest.raises(OptionError, match="exists already: remove it, or choose another folder with --out"):
        write(NAME, language, tmp_path)
    assert list(existing.iterdir()) == []
    existing.rmdir()
    existing.symlink_to(tmp_path / "nowhere")
    with pytest.raises(OptionError, match="exists already"):
        write(NAME, language, tmp_path)
    assert not (tmp_path / "nowhere").exists()


def test_an_unknown_language(tmp_path):
    with pytest.raises(OptionError, match=r"there is no template in 'rusty'; did you mean 'rust'\?"):
        write(NAME, "rusty", tmp_path)


@pytest.mark.parametrize(
    ("language", "message"),
    [
        ("c", r"there is no cc or gcc or clang on the PATH: install a C compiler \(apt install gcc"),
        ("rust", r"there is no cargo on the PATH: install Rust from"),
    ],
)
def test_a_missing_tool(tmp_path, monkeypatch, language, message):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(BackendError, match=message):
        write(NAME, language, tmp_path)
    assert list(tmp_path.iterdir()) == []
    tool = tmp_path / LANGUAGES[language].tools[-1]
    tool.touch(mode=0o755)
    assert write(NAME, language, tmp_path)[0].is_dir()


def test_a_folder_that_cannot_be_written(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(PycrogradError, match=f"cannot write .*file.pycrograd-{NAME}: Not a directory"):
        write(NAME, "python", tmp_path / "file")


FULL = OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize(
    ("failure", "raised", "message"),
    [(FULL, PycrogradError, "cannot write .*: No space left on device"), (KeyboardInterrupt, KeyboardInterrupt, None)],
    ids=["full", "interrupted"],
)
def test_half_a_package_is_none(tmp_path, monkeypatch, failure, raised, message):
    """Whatever ends it half-way, nothing is left that would be in the way of the next."""
    write_text, begun = Path.write_text, []

    def failing(path, *text):
        begun.append(path)
        if len(begun) == len(SHARED) // 2:
            raise failure
        return write_text(path, *text)

    monkeypatch.setattr(Path, "write_text", failing)
    with pytest.raises(raised, match=message):
        write(NAME, "python", tmp_path)
    assert list(tmp_path.iterdir()) == []
    assert write(NAME, "python", tmp_path)[0].is_dir()


# The command -------------------------------------------------------------------------------------------------------


def test_the_command_says_what_was_written_and_what_comes_next(tmp_path, monkeypatch, cli):
    monkeypatch.chdir(tmp_path)
    ended = cli("new-backend", "mine", "--out", "my folder")
    assert (ended.code, ended.err) == (0, "")
    assert ended.out.startswith("wrote my folder/pycrograd-mine/\n  .gitignore\n  README.md\n")
    assert (tmp_path / "my folder" / "pycrograd-mine" / "pycrograd_mine" / "matrix.py").is_file()
    digits = ROOT / "configs" / "digits.yaml"
    commands = ["pip install -e './my folder/pycrograd-mine'", "pycrograd check mine"]
    commands.append(f"pycrograd run {digits} --backend mine")
    with_uv = [f"uv {commands[0]}", *(f"uv run {command}" for command in commands[1:])]
    for block in (with_uv, commands):
        assert "".join(f"  {command}\n" for command in block) in ended.out


def test_from_the_root_of_a_clone_the_configuration_has_its_short_name(tmp_path, monkeypatch, cli):
    monkeypatch.chdir(ROOT)
    assert "pycrograd run configs/digits.yaml --backend mine\n" in cli("new-backend", "mine", "--out", tmp_path).out


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        ("Mine", 2, "Invalid value: the name 'Mine' has upper-case letters; did you mean 'mine'?"),
        ("mine --language cc", 2, "Invalid value: there is no template in 'cc'; did you mean 'c'?"),
        ("there", 2, "Invalid value: pycrograd-there exists already"),
        ("", 2, "Missing argument 'NAME'"),
        ("mine --language c", 1, "error: there is no cc or gcc or clang on the PATH"),
    ],
)
def test_exit_codes(tmp_path, monkeypatch, cli, words, code, message):
    (tmp_path / "pycrograd-there").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))
    ended = cli("new-backend", *words.split())
    assert (ended.code, ended.out) == (code, "")
    assert message in ended.err
    assert [path.name for path in tmp_path.iterdir()] == ["pycrograd-there"]
