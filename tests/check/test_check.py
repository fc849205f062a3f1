"""`pycrograd check`: what it asks, what it says, what it exits with."""

import re

import pytest

from pycrograd_core.conformance.tiers import TIERS

WRONG = (
    "def exp(self, *, out=None):\n            return super().exp(out=out).multiply(self.full(1, 1, 1.001, self.dtype))"
)
SOME = ("--only", "kernels/exp float32")


def test_a_backend_that_passes(stranger, check, tmp_path):
    stranger()
    ended = check("--tier", "signatures", "--tier", "values")
    assert ended.code == 0
    assert re.search(r"^signatures +(\d+)/\1 ", ended.out, re.MULTILINE)
    assert re.search(r"^values +(\d+)/\1 .* \d+% ", ended.out, re.MULTILINE)
    assert re.search(
        r"^partial: mine on a card passes all \d+ checks that were asked, a part of the kit, in \d+ s$",
        ended.out,
        re.MULTILINE,
    )
    assert ended.err == "signatures: done\nvalues: done\n"


def test_a_backend_that_fails(stranger, check):
    stranger(WRONG)
    ended = check("--only", "kernels/exp*")
    assert ended.code == 1
    assert "✗ kernels/exp float32 (failed)" in ended.out
    assert re.search(r"exp\(.*\): element \[\d+, \d+\] is .*, it should be .*; the error 0.001 is above", ended.out)
    assert "failed: mine on a card fails " in ended.out


def test_as_json(stranger, check):
    stranger(WRONG)
    ended = check("--tier", "kernels", "--only", "*/exp* float32", "--json")
    report = ended.report
    assert (ended.code, ended.err) == (1, "")
    assert (report["backend"], report["verdict"], report["device"], report["contract"]) == (
        "mine",
        "failed",
        "a card",
        "1.0",
    )
    assert report["environment"]["backend"] == {
        "distribution": "stranger-mine",
        "version": "1.0",
        "runtime": "7.5",
        "devices": ["a card"],
    }
    assert report["capabilities"] == ["deterministic", "float64", "host_memory"]
    assert report["command"] == "pycrograd check mine --tier kernels --only '*/exp* float32'"
    (tier,) = report["tiers"]
    assert (tier["tier"], tier["asked"], tier["asked"] - tier["passed"]) == ("kernels", report["asked"], tier["failed"])
    assert tier["failed"] >= 1
    (op,) = report["ops"]
    assert (op["op"], op["dtype"], op["failed"]) == ("exp", "float32", tier["failed"])
    assert all(result["message"] for result in report["checks"] if result["outcome"] == "failed")


def test_capabilities_that_are_no_strings(stranger, check):
    stranger("capabilities = frozenset({'float64', 7})")
    assert check(*SOME, "--json").report["capabilities"] == ["7", "float64"]


@pytest.mark.slow
def test_one_process_finds_what_two_find(stranger, check):
    stranger(WRONG)
    found = []
    for jobs in (1, 2):
        report = check("--tier", "kernels", "--only", "kernels/e*", "--json", "--jobs", jobs).report
        found.append([(r["check"], r["outcome"], r["cases"], r["error"]) for r in report["checks"]])
    assert found[0] == found[1]


def test_the_names_of_the_checks(stranger, check):
    stranger()
    names = check("--list").out.split("\n")[:-1]
    assert len(set(names)) == len(names) > 500
    assert list(dict.fromkeys(name.partition("/")[0] for name in names)) == [
        tier.name for tier in TIERS if tier.name != "fused"
    ], "of which it has nothing"
    assert check("--list", *SOME).out == "kernels/exp float32\n"


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--tier", "kernel"), "there is no tier 'kernel'; did you mean 'kernels'?"),
        (
            ("--only", "kernels/exq float32"),
            "no check is called 'kernels/exq float32'; did you mean 'kernels/exp float32'?",
        ),
        (("--jobs", "0"), "--jobs"),
    ],
)
def test_mistakes(words, told, stranger, check):
    stranger()
    ended = check(*words)
    assert (ended.code, ended.out) == (2, "")
    assert told in " ".join(ended.err.replace("│", " ").split())


def test_a_backend_that_is_not_there(stranger, check):
    stranger()
    ended = check(backend="mime")
    assert ended.code == 2
    assert "there is no backend 'mime' installed; did you mean 'mine'?" in " ".join(ended.err.split())


# Expected failures -------------------------------------------------------------------------------------------------


def test_an_expected_failure(stranger, check):
    stranger(WRONG, expected='[expected_failures]\n"kernels/exp*" = "the card\'s own exp"\n')
    ended = check(*SOME, "--only", "kernels/log float32")
    assert ended.code == 0
    assert "expected to fail: kernels/exp float32: the card's own exp" in ended.out
    assert "passes 1 of 2 checks that were asked, a part of the kit (1 expected to fail)" in ended.out


def test_a_backend_that_passes_nothing_does_not_pass(stranger, check):
    stranger(WRONG, expected='[expected_failures]\n"kernels/exp*" = "the card\'s own exp"\n')
    ended = check(*SOME)
    assert ended.code == 1
    assert "failed: mine on a card passes 0 of 1 checks (1 expected to fail)" in ended.out


@pytest.mark.parametrize(("device", "code"), [("a c*", 0), ("another card", 1)])
def test_one_that_is_expected_on_a_device(device, code, stranger, check):
    stranger(WRONG, expected=f'[expected_failures]\n"kernels/exp*@{device}" = "the card\'s own exp"\n')
    assert check(*SOME, "--only", "kernels/log float32").code == code


def test_a_stale_expectation_warns(stranger, check):
    """One of no check, or all of whose checks were asked, and passed."""
    reasons = {"kernels/exp float32": "was wrong", "kernels/exp*": "was wrong", "kernels/exq*": "misspelt"}
    lines = [f'"{key}" = "{reason}"' for key, reason in reasons.items()]
    stranger(expected="\n".join(["[expected_failures]", *lines]))
    ended = check(*SOME)
    assert ended.code == 0
    assert "warning: 'kernels/exp float32' is stale: it is for no check, or for none that fails" in ended.out
    assert check(*SOME, "--json").report["stale_expectations"] == ["kernels/exp float32", "kernels/exq*"]
    assert check("--only", "kernels/exp*", "--json").report["stale_expectations"] == list(reasons)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[expected_failures", "is no TOML"),
        ("[failures]\n", "should be one table, [expected_failures], of checks and reasons"),
        ('[expected_failures]\n"kernels/exp*" = ""\n', "the reason why the check fails is missing"),
        *(
            (f'[expected_failures]\n"{key}" = "because"\n', f"{key!r} is for all checks of the tier {tier}: name those")
            for key, tier in {
                "*": "signatures",
                "*/*": "signatures",
                "kernels/*": "kernels",
                "k*@a card": "kernels",
                "values/?* float*": "values",
            }.items()
        ),
    ],
)
def test_a_file_of_expectations_that_cannot_be_used(text, told, stranger, check):
    stranger(expected=text)
    ended = check(*SOME)
    assert ended.code == 2
    assert "expected_failures.toml: " in ended.err
    assert told in ended.err


# The certificate ---------------------------------------------------------------------------------------------------


def test_the_certificate(stranger, check, tmp_path):
    stranger(WRONG, expected='[expected_failures]\n"kernels/exp float64" = "the card\'s <own> exp"\n')
    page = tmp_path / "certificate.html"
    ended = check("--only", "kernels/exp*", "--html", page)
    text = page.read_text("utf-8")
    assert f"certificate: {page}" in ended.out
    for part in (
        '<span class="verdict failed">failed</span>',
        "stranger-mine 1.0",
        "<dd>a card</dd>",
        "<dd>7.5</dd>",
        "pycrograd check mine --only &#39;kernels/exp*&#39;",
        '<code>kernels/exp float32</code> <span class="failed">failed</span>',
        "the card&#39;s &lt;own&gt; exp",
        "<td><code>exp</code></td>",
    ):
        assert part in text
    assert "src=" not in text
    assert not re.search(r"https?://", text), "it needs nothing else"


def test_exact_is_said_only_of_what_passed(stranger, check, tmp_path):
    """Of the ops whose bits are compared: one that passes, one that fails, one that is expected to."""
    wrong = "def {}(self, other, *, out=None):\n            return super().add(other, out=out)\n        "
    stranger(
        wrong.format("greater") + wrong.format("maximum"),
        expected='[expected_failures]\n"kernels/maximum float32" = "it adds"\n',
    )
    page = tmp_path / "certificate.html"
    only = [word for name in ("greater", "maximum", "transpose") for word in ("--only", f"kernels/{name} float32")]
    check(*only, "--html", page)
    text = page.read_text("utf-8")
    rows = dict(re.findall(r"<tr><td><code>(\w+)</code></td>(.*?)</tr>", text, re.DOTALL))
    assert {name: "exact" in row for name, row in rows.items()} == {
        "greater": False,
        "maximum": False,
        "transpose": True,
    }
    assert "1 failed" in rows["greater"]
    assert "1 expected to fail" in rows["maximum"]
    (tier,) = re.findall(r"<tr><td>kernels</td>.*?</tr>", text, re.DOTALL)
    assert "1 / 3" in tier
    assert "exact" not in tier


def test_a_certificate_that_cannot_be_written(stranger, check, tmp_path):
    stranger()
    for page in (tmp_path / "none" / "page.html", tmp_path):
        ended = check(*SOME, "--html", page)
        assert ended.code == 2
        assert "cannot write" in ended.err
        assert "done" not in ended.err, "it is said before anything is asked"
