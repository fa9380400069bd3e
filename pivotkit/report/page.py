"""The page: its sections, put into one HTML file."""

from __future__ import annotations

import base64
import hashlib
from importlib.resources import files
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from pivotkit.arguments import check_path
from pivotkit.artifacts import atomic_path
from pivotkit.report import (
    agreement_sections,
    causal_sections,
    corpus_sections,
    lens_sections,
    model_sections,
    score_sections,
    study_sections,
)
from pivotkit.report.browser import words
from pivotkit.report.data import LABEL, RESAMPLES, read_run
from pivotkit.report.text import script_json


def write_report(run: str | Path, out: str | Path | None = None) -> Path:
    """Write one self-contained HTML page of everything that a run folder holds.

    Parameters
    ----------
    run : str or Path
        The folder of a run. The section of a stage that has not run says so.
    out : str or Path, optional
        Where the page goes; ``report.html`` in the run folder by default.

    Returns
    -------
    Path
        The page. It holds its style, script, figures and data, and refers to nothing outside itself. Its content
        security policy forbids a browser to load or run anything else.

    Raises
    ------
    TypeError
        An argument is no path.
    InputError
        ``run`` is no folder, or one of its artifacts is malformed. No page is written or changed then.

    Notes
    -----
    Intervals are percentile bootstraps over items: 1000 resamples, 95 %, a fixed seed. So the same folder gives the
    same page byte for byte. Memory and time grow with the traces, which are read whole.

    Examples
    --------
    >>> import tempfile
    >>> write_report(tempfile.mkdtemp()).name
    'report.html'
    """
    check_path("write_report", "run", run)
    check_path("write_report", "out", out, none=True)
    found = read_run(run)
    page = _render(found)
    path = Path(run) / "report.html" if out is None else Path(out)
    with atomic_path(path) as temporary:
        temporary.write_text(page, encoding="utf-8", newline="\n")
    return path


def _render(run: dict[str, Any]) -> str:
    script = _resource("browser.js")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    browser = words(run)
    environment = jinja2.Environment(
        loader=jinja2.FunctionLoader(_resource),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["percent"] = lambda part: f"{100 * part:.1f}%"
    environment.filters["count"] = lambda value: "–" if value is None else f"{value:,}"
    return environment.get_template("template.html.j2").render(
        head=study_sections.head(run),
        testbed=study_sections.testbed(run),
        score=score_sections.score(run),
        curves=model_sections.curves(run),
        lenses=lens_sections.lenses(run),
        behaviors=model_sections.behaviors(run),
        sensitivity=model_sections.sensitivity(run),
        cause=causal_sections.cause(run),
        attribution=study_sections.attribution(run),
        pivots=corpus_sections.pivots(run),
        agreement=agreement_sections.agreement(run),
        selection=corpus_sections.selection(run),
        pretrain=corpus_sections.pretrain(run),
        browser=browser,
        label=LABEL,
        resamples=RESAMPLES,
        data=script_json(browser) if browser else None,
        style=Markup(_resource("style.css")),
        script=Markup(script),
        digest=digest,
    )


def _resource(name: str) -> str:
    return files("pivotkit.report").joinpath(name).read_text(encoding="utf-8")
