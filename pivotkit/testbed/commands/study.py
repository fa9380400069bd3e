"""What the testbed adds to the command line, beside its stages."""

from __future__ import annotations

from pivotkit.pipeline.stage import Study
from pivotkit.testbed.commands.stages import TestbedSettings


def _demo(folder: str, settings: TestbedSettings) -> None:
    from pivotkit.testbed.commands.demo import demo

    demo(folder, seed=settings.seed, full=settings.full, train=settings.train)


DEMO = Study(
    name="demo",
    help="run every stage on the generated testbed: the paper in miniature, up to report.html",
    run=_demo,
    settings=("seed", "full", "train"),
    out="pivotkit-demo",
    form=TestbedSettings,
)
