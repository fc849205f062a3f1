"""What a new backend may be called, and what is said of a name that it may not have."""

from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from places import BACKENDS
from pycrograd_core.errors import OptionError
from pycrograd_core.plugins.loader import Plugin
from pycrograd_core.scaffold import names
from pycrograd_core.scaffold.names import Names, checked, nearest_good


@pytest.mark.parametrize(
    ("name", "distribution", "module", "title"),
    [
        ("mine", "pycrograd-mine", "pycrograd_mine", "Mine"),
        ("my-gpu2", "pycrograd-my-gpu2", "pycrograd_my_gpu2", "MyGpu2"),
        ("x-1", "pycrograd-x-1", "pycrograd_x_1", "X1"),
        ("import", "pycrograd-import", "pycrograd_import", "Import"),
        ("pycrograder", "pycrograd-pycrograder", "pycrograd_pycrograder", "Pycrograder"),
    ],
)
def test_good_names(name, distribution, module, title):
    found = checked(name)
    assert found == Names(name)
    assert (found.distribution, found.module, found.title) == (distribution, module, title)


@pytest.mark.parametrize(
    ("name", "fault", "hint"),
    [
        ("", "is empty", "take one like"),
        ("a" * 300, "has more than 50 characters", f"did you mean {'a' * 50!r}?"),
        ("Mine", "has upper-case letters", "did you mean 'mine'?"),
        ("my_gpu", "has characters that are no letters", "did you mean 'my-gpu'?"),
        ("my.gpu", "has characters that are no letters", "did you mean 'my-gpu'?"),
        ("my gpu\n", "has characters that are no letters", "did you mean 'my-gpu'?"),
        ("é", "has characters that are no letters", "take one like"),
        ("../mine", "has characters that are no letters", "did you mean 'mine'?"),
        ("My_GPU", "has upper-case letters and has characters", "did you mean 'my-gpu'?"),
        ("3d", "begins with a digit", "did you mean 'd'?"),
        ("42", "begins with a digit", "take one like"),
        ("-mine", "has a hyphen that joins no two words", "did you mean 'mine'?"),
        ("mine-", "has a hyphen that joins no two words", "did you mean 'mine'?"),
        ("my--gpu", "has a hyphen that joins no two words", "did you mean 'my-gpu'?"),
        ("pycrograd-mine", "begins with 'pycrograd'", "did you mean 'mine'?"),
        ("pycrograd", "begins with 'pycrograd'", "take one like"),
    ],
)
def test_bad_names(name, fault, hint):
    with pytest.raises(OptionError) as refused:
        checked(name)
    message = str(refused.value)
    assert message.startswith(f"the name {name!r} {fault}")
    assert hint in message


@given(st.text(st.sampled_from("aZ3-_. é"), max_size=8).map(lambda text: text.replace("Z", "pycrograd")))
def test_the_nearest_good_name_is_good(name):
    near = nearest_good(name)
    assert near == "" or checked(near).name == near
    assert nearest_good(near) == near


@pytest.mark.parametrize("name", BACKENDS)
def test_a_name_of_an_installed_backend_is_taken(name):
    with pytest.raises(OptionError, match=rf"^the name '{name}' is taken by pycrograd-\w+, which is installed$"):
        checked(name)


def test_a_name_of_any_other_plugin_is_taken_and_of_each_backend_of_one(monkeypatch):
    lion = Plugin("lion", "lion-optimiser", "1.0", failure=ValueError("broken"))
    monkeypatch.setattr(names, "installed", lambda: SimpleNamespace(plugins=[lion]))
    monkeypatch.setattr(names, "candidates", lambda: {"fast": SimpleNamespace(plugin=Plugin("two", "two-gpus", "1.0"))})
    for name, distribution in (("lion", "lion-optimiser"), ("fast", "two-gpus")):
        with pytest.raises(OptionError, match=rf"^the name '{name}' is taken by {distribution}, which is installed$"):
            checked(name)
    assert checked("two").name == "two"


def test_a_name_of_a_module_is_taken():
    with pytest.raises(OptionError, match=r"^the name 'core' is taken: there is a module pycrograd_core already$"):
        checked("core")
