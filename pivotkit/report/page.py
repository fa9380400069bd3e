"""The page: its sections, put into one HTML file."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from pivotkit.arguments import check_path
from pivotkit.artifacts import atomic_path
from pivotkit.report import (
    agreement_sections,
    attribution_sections,
    causal_sections,
    corpus_sections,
    curve_sections,
    first_screen,
    lens_sections,
    model_sections,
    score_sections,
    study_sections,
)
from pivotkit.report.browser import words
from pivotkit.report.comparable import check_folders, require_comparable
from pivotkit.report.comparison import comparison
from pivotkit.report.data import LABEL, RESAMPLES, read_run
from pivotkit.report.text import script_json


def write_report(run: str | Path, out: str | Path | None = None) -> Path:
    """Write one self-contained HTML page of everything that a run folder holds.

    Parameters
    ----------
    run : str or Path
        The folder of a run. The section of a stage that has not run names the stage.
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
    return _write(_render(found), Path(run) / "report.html" if out is None else Path(out))


def _write(page: str, path: Path) -> Path:
    with atomic_path(path) as temporary:
        temporary.write_text(page, encoding="utf-8", newline="\n")
    return path


def write_comparison(runs: Sequence[str | Path], out: str | Path) -> Path:
    """Write one self-contained HTML page that sets several runs side by side.

    Formula: each figure is a mean over items with its interval; a difference from the first run is the mean over the
    items that count in both of the other's value less the first's.

    Parameters
    ----------
    runs : sequence of str or Path
        At least two run folders: of other models, or of checkpoints of one. The others are compared with the first.
    out : str or Path
        Where the page goes.

    Returns
    -------
    Path
        The page: accuracy, scores, shares of behaviors, curves by depth, AUCs and causal effects of every run. What no
        run holds is left out.

    Raises
    ------
    TypeError
        An argument is no path or no sequence of them.
    ValueError
        Fewer than two folders, or one named twice.
    InputError
        A folder is none of a run, an artifact is malformed, or a run has other items than the first, or was made by
        another version or with other settings. The message names the run and what to do. No page is written then.

    Notes
    -----
    Intervals are percentile bootstraps over concepts: 1000 resamples, 95 %, a fixed seed. Depth is the number of a
    layer divided by that of the last one. Settings of which each model has its own (``dtype``, the layers of the causal
    test) may differ. Memory and time are those of `write_report` for each run, without the words.

    Examples
    --------
    >>> import pivotkit as pk
    >>> pk.write_comparison(["gemma3-270m", "smollm2-135m"], "comparison.html")  # doctest: +SKIP
    """
    folders = check_folders("write_comparison", runs)
    check_path("write_comparison", "out", out)
    found = [read_run(folder) for folder in folders]
    require_comparable(folders, found)
    view = comparison(folders, found)
    parts = {"behaviors": "behaviors", "curves": "curves", "attribution": "areas", "cause": "causes"}
    held = [(id, SECTIONS[id]) for id, part in parts.items() if view[part]]
    page = render(
        "compare.html.j2",
        scripts=("figures.js",),
        sections=[("runs", "Runs"), *held, ("pairs", "Pairs")],
        head={"model": f"{len(folders)} runs compared", "version": study_sections.head(found[0])["version"]},
        view=view,
        resamples=RESAMPLES,
        data=None,
    )
    return _write(page, Path(out))


SECTIONS = {
    "finding": "Finding",
    "testbed": "Testbed",
    "score": "Score",
    "curves": "Layers",
    "lenses": "Lenses",
    "behaviors": "Behaviors",
    "cause": "Cause",
    "attribution": "Attribution",
    "pivots": "Pivots",
    "agreement": "Agreement",
    "selection": "Selection",
    "controls": "Controls",
    "pretrain": "Training",
    "experiment": "Experiment",
    "words": "Words",
    "run": "Run",
}


def _render(run: dict[str, Any]) -> str:
    browser = words(run)
    testbed = study_sections.testbed(run)
    tried = study_sections.experiment(run)
    absent = {name for name, part in (("testbed", testbed), ("experiment", tried)) if not part}
    return render(
        "template.html.j2",
        scripts=("figures.js", "browser.js") if browser else ("figures.js",),
        sections=[(id, name) for id, name in SECTIONS.items() if id not in absent],
        head=study_sections.head(run),
        finding=first_screen.finding(run),
        testbed=testbed,
        score=score_sections.score(run),
        curves=curve_sections.curves(run),
        lenses=lens_sections.lenses(run),
        behaviors=model_sections.behaviors(run),
        sensitivity=model_sections.sensitivity(run),
        cause=causal_sections.cause(run),
        attribution=attribution_sections.attribution(run),
        pivots=corpus_sections.pivots(run),
        agreement=agreement_sections.agreement(run),
        selection=corpus_sections.selection(run),
        controls=corpus_sections.controls(run),
        dropped=corpus_sections.dropped(run),
        arms=corpus_sections.arms(run),
        pretrain=corpus_sections.pretrain(run),
        experiment=tried,
        browser=browser,
        label=LABEL,
        resamples=RESAMPLES,
        data=script_json(browser) if browser else None,
    )


def render(template: str, *, scripts: Sequence[str], **view: Any) -> str:
    """Return the page of a template. It has the style and these scripts inline, and its policy allows no others."""
    environment = jinja2.Environment(
        loader=jinja2.FunctionLoader(_resource),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["percent"] = lambda part: f"{100 * part:.1f}%"
    environment.filters["count"] = lambda value: "–" if value is None else f"{value:,}"
    texts = [_resource(name) for name in scripts]
    own = [
        {"text": Markup(text), "digest": base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}
        for text in texts
    ]
    return environment.get_template(template).render(scripts=own, style=Markup(_resource("style.css")), **view)


def _resource(name: str) -> str:
    return files("pivotkit.report").joinpath(name).read_text(encoding="utf-8")
