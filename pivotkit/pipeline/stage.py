"""What a stage is, and a table of stages: order, needs and choice follow from what each stage reads and writes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pivotkit.pipeline.inputs import GIVEN
from pivotkit.pipeline.makes import Makes
from pivotkit.pipeline.settings import Settings, flag, options
from pivotkit.run_folder import RunFolder

EVERYTHING = "*"  # in `Stage.uses`: every artifact that another stage of the table writes


@dataclass(frozen=True, repr=False)
class Stage:
    """One step of a run: what it reads, what it writes, and the function that does it.

    Parameters
    ----------
    name : str
        Name of the subcommand and of the record in ``run.json``.
    help : str
        One line for the command line and the documentation.
    run : function of (RunFolder, Settings)
        Does the work. It is called only when every input is there, and writes every artifact of ``writes``.
    reads : tuple of str
        What must be there: artifacts, by their path in the run folder, and keys of `GIVEN`, which the user gives.
    needs : function of Settings to sequence of str, optional
        What of ``reads`` must be there with these settings; by default all of it.
    writes : tuple of str
        Artifacts, by their path in the run folder.
    uses : tuple of str, default ()
        What is read where it is there, as in ``reads``; or `EVERYTHING`.
    settings : tuple of str, default ()
        Fields of ``form`` that the stage reads beside the keys of `GIVEN`.
    functions : tuple of str, default ()
        The public functions that do the same in Python, by their path below ``pivotkit``.
    depends : function of (RunFolder, Settings) to dict, optional
        What else the result depends on; the stage runs again when it changes.
    form : type, default Settings
        The class of the settings: `Settings` or a subclass with more fields.
    plan : function of (RunFolder, Settings) to dict, optional
        Says what ``run`` would make, and makes nothing.
    revision : int, default 1
        Grows where the stage makes another result of the same inputs, so that what earlier code made is made again.
    """

    name: str
    help: str
    run: Callable[[RunFolder, Any], None]
    reads: tuple[str, ...]
    writes: tuple[str, ...]
    needs: Callable[[Any], Sequence[str]] | None = None
    uses: tuple[str, ...] = ()
    settings: tuple[str, ...] = ()
    functions: tuple[str, ...] = ()
    depends: Callable[[RunFolder, Settings], Mapping[str, Any]] | None = None
    form: type[Settings] = Settings
    plan: Callable[[RunFolder, Any], dict[str, Any]] | None = None
    revision: int = 1

    def __repr__(self) -> str:
        needed = self.needed(self.form())
        return f"Stage({self.name!r}: {', '.join(needed) or 'nothing'} -> {', '.join(self.writes)})"

    def needed(self, settings: Settings) -> tuple[str, ...]:
        """What of ``reads`` must be there with these settings."""
        return self.reads if self.needs is None else tuple(self.needs(settings))

    def artifacts(self, settings: Settings) -> tuple[str, ...]:
        """The artifacts that must be there."""
        return tuple(name for name in self.needed(settings) if name not in GIVEN)

    @property
    def given(self) -> tuple[str, ...]:
        """The keys of `GIVEN` that the stage reads or uses."""
        return tuple(name for name in (*self.reads, *self.uses) if name in GIVEN)

    @property
    def options(self) -> tuple[str, ...]:
        """Every field of the settings that the stage reads."""
        return (*self.given, *self.settings)

    def begins_run(self, settings: Settings) -> bool:
        """Whether the stage can make the run folder: it reads and uses no artifact."""
        return all(name in GIVEN for name in (*self.needed(settings), *self.uses))

    def wanted(self, run: RunFolder, settings: Settings) -> dict[str, Any]:
        """The settings, and what else the result depends on."""
        more = {} if self.depends is None else self.depends(run, settings)
        revised = {"revision": self.revision} if self.revision > 1 else {}
        return settings.of(self.options) | dict(more) | revised


@dataclass(frozen=True)
class Study:
    """Many stages under one name, in a run folder of their own. `pivotkit run` is one.

    Parameters
    ----------
    name, help, settings, form
        As in `Stage`; ``settings`` names every field that the study reads.
    run : function of (folder, Settings)
        Runs the stages.
    out : str, optional
        The default run folder. Without it the user must name one.
    """

    name: str
    help: str
    run: Callable[[str, Any], object]
    settings: tuple[str, ...]
    out: str | None = None
    form: type[Settings] = Settings


class StageTable:
    """Stages in the order in which they run.

    Parameters
    ----------
    stages : iterable of Stage
        A stage stands behind those that write what it reads.

    Raises
    ------
    ValueError
        A name twice, an artifact with two writers, or an artifact that no earlier stage writes.
    """

    def __init__(self, stages: Iterable[Stage]) -> None:
        self._stages: dict[str, Stage] = {}
        for stage in stages:
            if stage.name in self._stages:
                raise ValueError(f"StageTable: stages must have different names; got {stage.name} twice")
            for name in stage.reads:
                if name not in GIVEN:
                    self.writer(name)
            for other in self:
                if both := set(stage.writes) & set(other.writes):
                    raise ValueError(f"StageTable: an artifact must have one writer; got two for {', '.join(both)}")
            self._stages[stage.name] = stage

    def __iter__(self) -> Iterator[Stage]:
        return iter(self._stages.values())

    def __len__(self) -> int:
        return len(self._stages)

    def __contains__(self, name: object) -> bool:
        return name in self._stages

    def __getitem__(self, name: str) -> Stage:
        return self._stages[name]

    def __repr__(self) -> str:
        return f"StageTable({', '.join(self._stages)})"

    def writer(self, artifact: str) -> Stage:
        """The stage that writes ``artifact``, or the folder that holds it."""
        for stage in self:
            if any(artifact == name or artifact.startswith(name + "/") for name in stage.writes):
                return stage
        raise ValueError(f"StageTable: artifact must be what an earlier stage writes; got {artifact}")

    def making(self, artifact: str) -> list[Stage]:
        """The stages that lead to ``artifact`` with their default settings, in order."""
        needed: set[str] = set()

        def add(stage: Stage) -> None:
            needed.add(stage.name)
            for name in stage.artifacts(stage.form()):
                add(self.writer(name))

        add(self.writer(artifact))
        return [stage for stage in self if stage.name in needed]

    def needs(self, stage: Stage, given: str, settings: Settings) -> bool:
        """Whether ``stage`` reads what the user gives under this key of `GIVEN`, or what was made of it."""
        makers = (self.writer(name) for name in stage.artifacts(settings))
        return given in stage.needed(settings) or any(self.needs(maker, given, settings) for maker in makers)

    def need(self, run: RunFolder, artifact: str) -> Path:
        """The path of ``artifact``; a ValueError names the stage that writes it where it is absent."""
        path = run / artifact
        if not path.exists():
            raise ValueError(f"{run.folder}: must hold {artifact}; run `pivotkit {self.writer(artifact).name}` first")
        return path

    def whole(self, run: RunFolder, artifact: str) -> Path:
        """The path of ``artifact``, which is as its stage wrote it, of artifacts as they are now (`Makes`)."""
        self.need(run, artifact)
        self._makes(run).check([artifact])
        return run / artifact

    def check(self, run: RunFolder) -> None:
        """Refuse a run whose artifacts are not as their stages wrote them, or are of different makes (`Makes`)."""
        names = [name for stage in self for name in stage.writes if name != "report.html"]
        self._makes(run).check([name for name in names if (run / name).exists()])

    def run(self, stage: Stage, run: RunFolder, settings: Settings) -> bool:
        """Run ``stage`` unless its artifacts lie there, made of the same inputs with the same settings.

        Returns
        -------
        bool
            Whether it ran.

        Raises
        ------
        ValueError
            An artifact that the stage reads is absent, or a setting that it reads is not given.
        InputError
            An artifact that the stage reads is damaged, or those that it reads were made of different things (`Makes`).
        """
        needed, artifacts = self._ready(stage, run, settings)
        written = {name for other in self if run.record(other.name) for name in other.writes}
        used = [name for name in self._used(stage) if (run / name).exists() or name in written]
        asked = [name for name in (*needed, *stage.uses) if name in GIVEN and getattr(settings, name)]
        files = {name: GIVEN[name](settings) for name in asked}
        given = {name: run.given_digest(getattr(settings, name), paths) for name, paths in files.items()}
        reads = [*artifacts, *used]
        inside = self._inside(run, files.values())
        self._makes(run).check([*reads, *inside], given, settings)
        return run.stage(
            stage.name, stage.writes, lambda: stage.run(run, settings),
            settings={name: value for name, value in stage.wanted(run, settings).items() if name not in GIVEN},
            inputs=reads, given=given, inside=inside,
        )  # fmt: skip

    def plan(self, stage: Stage, run: RunFolder, settings: Settings) -> dict[str, Any]:
        """What ``stage`` would make; errors as `run`."""
        assert stage.plan is not None
        _, artifacts = self._ready(stage, run, settings)
        self._makes(run).check(list(artifacts))
        return stage.plan(run, settings)

    def _ready(self, stage: Stage, run: RunFolder, settings: Settings) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """What ``stage`` needs, and the artifacts of it; ValueError where some of it is not there."""
        needed, artifacts = stage.needed(settings), stage.artifacts(settings)
        missing = [name for name in needed if name in GIVEN and not getattr(settings, name)]
        if missing:
            told, kept = " and ".join(_named(stage, name) for name in missing), run / "run.json"
            raise ValueError(f"{stage.name}: {told} must be given; got none, nor one in {kept}")
        for name in artifacts:
            self.need(run, name)
        return needed, artifacts

    def _makes(self, run: RunFolder) -> Makes:
        return Makes(run, {name: stage.name for stage in self for name in stage.writes})

    def _inside(self, run: RunFolder, files: Iterable[list[Path]]) -> list[str]:
        """Those of the files that the user gave which are artifacts of this run, as the testbed's corpus is."""
        here = run.folder.resolve()
        names = [
            path.resolve().relative_to(here).as_posix()
            for paths in files
            for path in paths
            if here in path.resolve().parents
        ]
        return [
            name
            for name in names
            if any(f"{name}/".startswith(f"{folder}/") for stage in self for folder in stage.writes)
        ]

    def _used(self, stage: Stage) -> list[str]:
        if EVERYTHING in stage.uses:
            return [name for other in self if other is not stage for name in other.writes]
        return [name for name in stage.uses if name not in GIVEN]


def _named(stage: Stage, name: str) -> str:
    """What the user must give, and what may be given instead."""
    instead = [flag(one) for one in options(stage.form, stage.given) if one.metadata.get("instead_of") == name]
    return " or ".join([name, *instead])
