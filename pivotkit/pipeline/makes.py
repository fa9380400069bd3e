"""What the artifacts of a run were made of: those that a stage joins must be of one make.

``run.json`` keeps, for each finished stage, the digests of what it wrote, of the artifacts that it read, and of what
the user gave. A stage may read an artifact that

- a finished stage wrote, and nobody changed since;
- was made of artifacts as they are now, which were made of artifacts as they are now, and so on;
- was made of the same corpus, model and tuned lens as everything else that the stage reads.

Anything else is refused, with the stages to run again. File times and the names of folders decide nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from pivotkit.errors import InputError
from pivotkit.pipeline.inputs import GIVEN
from pivotkit.pipeline.settings import Settings
from pivotkit.run_folder import RunFolder, joined

UNFINISHED = "must be of a stage that finished, and that said of what it is"


class Makes:
    """The makes of a run's artifacts, by the records in ``run.json``.

    Parameters
    ----------
    run : RunFolder
    writers : mapping of str to str
        The stage that writes each artifact, in the order in which stages run.
    """

    def __init__(self, run: RunFolder, writers: Mapping[str, str]) -> None:
        self._run = run
        self._writers = writers

    def check(
        self, artifacts: Iterable[str], given: Mapping[str, str] | None = None, settings: Settings | None = None
    ) -> None:
        """Raise an InputError unless ``artifacts`` and what the user gives may be joined.

        Parameters
        ----------
        artifacts : iterable of str
            What is read, by its path in the run folder. Artifacts that no stage writes are not checked.
        given : mapping of str to str, optional
            Digests of what the user gives to the stage.
        settings : Settings, optional
            They say what is given now, where two artifacts differ in it.

        Notes
        -----
        Cost: reads ``artifacts``, a second per 1.3 GB and core; of what they were made of, the records alone.
        """
        known = [name for name in artifacts if self._writer(name)]
        for name in known:
            self._check_files(name)
        above = self._above(known)
        stale = [stage for stage in above if self._changed(stage)]
        if stale:
            artifact, made = self._changed(stale[0]), bool(self._record(stale[0]))
            rule = f"must be made of {artifact} as it is now; it was made of another" if made else UNFINISHED
            raise self._refusal(stale[0], rule, self._again(stale, above))
        self._check_given(above, given or {}, settings)

    def _check_files(self, artifact: str) -> None:
        """Refuse an artifact without a finished stage, or with other bytes."""
        stage = self._writer(artifact)
        record = self._run.record(stage)
        if record is None:
            raise InputError(self._run / artifact, "", f"{UNFINISHED}; run `pivotkit {stage}` again, or remove it")
        there, written = self._run.digests([artifact]), self._written(stage, artifact)
        for place in sorted(there | written):
            if there.get(place) != written.get(place):
                got = "none" if place not in there else "another file" if place not in written else "other bytes"
                problem = f"must be as `pivotkit {stage}` wrote it; got {got}; run `pivotkit {stage}` again"
                raise InputError(self._run / place, "", problem)

    def _above(self, artifacts: Iterable[str]) -> list[str]:
        """The stages that ``artifacts`` come from, in the order in which stages run."""
        found: set[str] = set()
        waiting = [self._writer(name) for name in artifacts]
        while waiting:
            stage = waiting.pop()
            if stage and stage not in found:
                found.add(stage)
                waiting += [self._writer(name) for name in self._made_of(stage)]
        return [stage for stage in dict.fromkeys(self._writers.values()) if stage in found]

    def _changed(self, stage: str) -> str | None:
        """An artifact that ``stage`` read and that is another now; its own name where the stage is not finished."""
        if not self._record(stage):
            return next(name for name, writer in self._writers.items() if writer == stage)
        for name, digest in self._made_of(stage).items():
            writer = self._writer(name)
            if writer and self._record(writer) and joined(self._written(writer, name)) != digest:
                return str(name)
        return None

    def _again(self, stale: list[str], above: list[str]) -> list[str]:
        """The stages of ``above`` that must run again because those of ``stale`` must, in order."""
        again = set(stale)
        for stage in above:
            if any(self._writer(name) in again for name in self._made_of(stage)):
                again.add(stage)
        return [stage for stage in above if stage in again]

    def _check_given(self, above: list[str], given: Mapping[str, str], settings: Settings | None) -> None:
        """Refuse artifacts that were made of different corpora, models or lenses."""
        for name in GIVEN:
            of = {stage: self._record(stage)["given"][name] for stage in above if name in self._record(stage)["given"]}
            now = given.get(name)
            if len({*of.values(), *filter(None, [now])}) < 2:
                continue
            now = now or self._given_now(name, settings)
            if now not in of.values() and name not in given:
                now = of[max(of, key=lambda stage: str(self._record(stage)["finished"]))]
            stale = [stage for stage, digest in of.items() if digest != now]
            raise self._refusal(stale[0], f"must be made of the same {name} as the rest", self._again(stale, above))

    def _given_now(self, name: str, settings: Settings | None) -> str | None:
        value = getattr(settings, name, None)
        try:
            return self._run.given_digest(value, GIVEN[name](settings)) if settings and value else None
        except (OSError, ValueError):
            return None  # it is gone since

    def _refusal(self, stage: str, rule: str, again: list[str]) -> InputError:
        artifact = next(name for name, writer in self._writers.items() if writer == stage)
        told = ", ".join(f"`pivotkit {name}`" for name in again)
        return InputError(self._run / artifact, "", f"{rule}; run {told} again")

    def _writer(self, artifact: str) -> str:
        """The stage that writes ``artifact``, or the folder that holds it; empty for none."""
        for name, stage in self._writers.items():
            if artifact == name or artifact.startswith(name + "/"):
                return stage
        return ""

    def _record(self, stage: str) -> dict[str, Any]:
        return self._run.record(stage) or {}

    def _made_of(self, stage: str) -> dict[str, str]:
        """The digests of the artifacts that ``stage`` read, also as the corpus or lexicon that the user named."""
        record = self._record(stage)
        return {**record.get("made_of", {}), **record.get("inside", {})}

    def _written(self, stage: str, artifact: str) -> dict[str, str]:
        """The digests of the files of ``artifact`` as ``stage`` wrote them."""
        outputs = self._record(stage)["outputs"].items()
        return {name: digest for name, digest in outputs if name == artifact or name.startswith(artifact + "/")}
