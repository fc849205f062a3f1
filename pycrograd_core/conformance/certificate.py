"""The certificate: a report as one HTML page that needs nothing else, in light and dark, on screen and paper."""

from __future__ import annotations

import re
from typing import Any

import jinja2
from markupsafe import Markup, escape

import pycrograd_core

from .report import Report
from .result import UNASKED, Outcome

BACKTICKS = re.compile(r"`([^`]+)`")


def certificate(report: Report) -> str:
    """The page."""
    templates = jinja2.Environment(
        loader=jinja2.PackageLoader("pycrograd_core.conformance", "pages"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    templates.filters |= {"code": _code, "error": _error, "share": _share}
    return templates.get_template("certificate.html").render(
        report=report,
        facts=_facts(report),
        dtypes=sorted({op.dtype for op in report.ops}),
        ops=_by_op(report),
        expected=report.having(Outcome.EXPECTED_FAILURE),
        unasked=report.having(*UNASKED),
    )


def _facts(report: Report) -> dict[str, str]:
    """What the certificate holds for: a change of any of these is another certificate."""
    about = report.environment
    backend = about["backend"]
    return {
        "Backend": f"{report.backend}, {backend['distribution']} {backend['version']}",
        "Device": report.device,
        "Runtime": backend["runtime"] or "–",
        "Capabilities": ", ".join(report.capabilities) or "none",
        "Contract": report.contract,
        "Pycrograd": pycrograd_core.__version__,
        "Python": f"{about['python']}, NumPy {about['numpy']}",
        "Platform": f"{about['platform']}, {about['processor']}, {about['cpus']} CPUs",
        "Date": report.date,
        "Command": report.command,
    }


def _by_op(report: Report) -> dict[str, dict[str, Any]]:
    """For each op its reports by dtype."""
    found: dict[str, dict[str, Any]] = {}
    for op in report.ops:
        found.setdefault(op.op, {})[op.dtype] = op
    return found


def _code(text: str) -> Markup:
    """Text in which what stands in backticks is code."""
    return Markup(BACKTICKS.sub(r"<code>\1</code>", str(escape(text))))  # noqa: S704  what is not ours is escaped


def _error(value: float) -> str:
    """An error in two digits."""
    return "0" if value == 0 else f"{value:.1e}"


def _share(strain: float) -> str:
    """How much of what is allowed an error is."""
    return f"{strain:.0%}" if strain >= 0.01 or strain == 0 else "< 1%"
