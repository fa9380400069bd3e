"""Semantic pivots in multilingual language models: one command per stage, and `pivotkit run` for all of them."""

from __future__ import annotations

import argparse
import contextlib
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from pivotkit.cli_lexicon import add_lexicon_options, run_lexicon
from pivotkit.cli_mix import add_mix_options, readable, run_mix
from pivotkit.cli_options import Parser, add_options, run_first
from pivotkit.errors import BackendUnavailable
from pivotkit.pipeline.run import RUN
from pivotkit.pipeline.settings import Settings, kept, options
from pivotkit.pipeline.stage import Stage, Study
from pivotkit.run_folder import RunFolder, package_version, read_manifest
from pivotkit.testbed.commands.stages import STAGES
from pivotkit.testbed.commands.study import DEMO

Command = Callable[[argparse.Namespace], dict[str, Any]]
STUDIES = (DEMO, RUN)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one subcommand; 0 when it succeeded, 2 for a wrong argument or input, 130 for Ctrl-C, 143 for SIGTERM."""
    parser, stages = _parsers()
    words = list(sys.argv[1:] if arguments is None else arguments)
    if words and words[0] in stages:
        words[1:] = run_first(stages[words[0]], words[1:])
    parsed = parser.parse_args(words)
    try:
        with _terminable():
            summary = parsed.command(parsed)
    except KeyboardInterrupt as stop:
        print("pivotkit: interrupted; the same command resumes it", file=sys.stderr)
        return 128 + (signal.SIGTERM if isinstance(stop, Terminated) else signal.SIGINT)
    except OSError as error:
        place = f"{error.filename}: " if error.filename else ""
        print(f"pivotkit: {place}{error.strerror or error}", file=sys.stderr)
        return 2
    except (ValueError, TypeError, IndexError, ArithmeticError, MemoryError, BackendUnavailable) as error:
        if parsed.traceback:
            raise
        print(f"pivotkit: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    if parsed.json:
        import orjson

        sys.stdout.write(orjson.dumps(summary, option=orjson.OPT_INDENT_2 | orjson.OPT_SERIALIZE_NUMPY).decode() + "\n")
    else:
        for name, value in summary.items():
            print(f"{name}: {value}")
    return 0


class Terminated(KeyboardInterrupt):
    """SIGTERM came, by which schedulers end a run. It cleans up as Ctrl-C does."""


@contextlib.contextmanager
def _terminable() -> Iterator[None]:
    """Within the block the first SIGTERM raises `Terminated`, and later ones do not disturb the cleaning up."""

    def end(number: int, frame: object) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        raise Terminated

    if threading.current_thread() is not threading.main_thread():  # no other thread may set a handler
        yield
        return
    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before or signal.SIG_DFL)


def _parsers() -> tuple[Parser, dict[str, Parser]]:
    """The parser of the whole command line, and those of the stages by name."""
    parser = Parser(prog="pivotkit", description=__doc__)
    version = f"pivotkit {package_version('pivotkit') or 'unknown'}"
    parser.add_argument("--version", action="version", version=version, help="print the version")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND", parser_class=Parser)

    def add(name: str, command: Command, text: str, **more: Any) -> Parser:
        added = commands.add_parser(name, help=text, description=text, **more)
        added.set_defaults(command=command)
        added.add_argument("--json", action="store_true", help="print a summary as JSON on stdout")
        added.add_argument("--traceback", action="store_true", help="show where in the code an error arose")
        return added

    for study in STUDIES:
        added = add(study.name, _run_study(study), study.help)
        default = "" if study.out is None else f" (default: {study.out})"
        added.add_argument(
            "--out", required=study.out is None, default=study.out, metavar="RUN", help="run folder" + default
        )
        add_options(added, options(study.form, study.settings))
    stages = {}
    for stage in STAGES:
        stages[stage.name] = added = add(stage.name, _run_stage(stage), stage.help, usage="%(prog)s RUN [options]")
        added.add_argument("run", metavar="RUN", help="run folder; it keeps the settings of earlier stages")
        add_options(added, options(stage.form, stage.options))
        if stage.plan is not None:
            added.add_argument("--dry-run", action="store_true", help="say what would be made, and make nothing")
    merge = add("merge", _merge, "add up counts of different parts of a corpus")
    merge.add_argument("counts", nargs="+", metavar="COUNTS", help="folders that `pivotkit count` wrote")
    merge.add_argument("--out", required=True, help="folder for the sum")
    export = add("export", _export, "write a run's artifacts in another tool's format")
    export.add_argument("run", metavar="RUN", help="run folder")
    export.add_argument("--to", required=True, choices=EXPORTS, help="the tool")
    export.add_argument("--out", required=True, metavar="FOLDER", help="folder for its files")
    compare = add("compare", _compare, "set several runs of the same items side by side in one page")
    compare.add_argument("runs", nargs="+", metavar="RUN", help="run folders; the others are compared with the first")
    compare.add_argument("--out", required=True, metavar="FILE", help="the page")
    languages = add("languages", _languages, "say which languages the documents of a corpus are in")
    languages.add_argument("corpus", nargs="+", metavar="CORPUS", help="text: files, folders or globs")
    languages.add_argument("--out", metavar="FOLDER", help="folder for the table, which a stopped run goes on with")
    modes = ("auto", "field", "detect")
    languages.add_argument("--languages", choices=modes, default="auto", help="by the lang field, by the text, or both")
    languages.add_argument("--candidates", metavar="CODES", help="the only languages there may be, as en,fr")
    add_lexicon_options(
        add("lexicon", run_lexicon, "check a lexicon before a long run: words, tokens, documents, pairs")
    )
    add_mix_options(add("mix", run_mix, "mix selections and base data by weights into training order"))
    about = add("info", _info, "print version, instruction set, threads, CUDA, and the versions of the packages below")
    about.add_argument(
        "--verbose", action="store_true", help="also which kernels run, by instruction set, type and rows"
    )
    return parser, stages


def _settings(
    parsed: argparse.Namespace, form: type[Settings], config: dict[str, Any], names: Sequence[str]
) -> Settings:
    """What is given for the settings of these names, and what a run keeps of the others."""
    known = {option.name for option in fields(form)}
    given = {name: value for name, value in vars(parsed).items() if name in known}
    stays = kept(config, given, options(form, names))
    return form(**{name: value for name, value in {**stays, **given}.items() if name in known})


def _summary(folder: Path) -> dict[str, Any]:
    stages = read_manifest(folder / "run.json")["stages"]
    summary = {"run": str(folder), "seconds": {name: stage["seconds"] for name, stage in stages.items()}}
    if (folder / "report.html").exists():
        summary["report"] = str(folder / "report.html")
    return summary


def _run_study(study: Study) -> Command:
    def command(parsed: argparse.Namespace) -> dict[str, Any]:
        settings = _settings(parsed, study.form, {}, study.settings)
        settings.check(study.name)
        study.run(parsed.out, settings)
        return _summary(Path(parsed.out))

    return command


def _run_stage(stage: Stage) -> Command:
    def command(parsed: argparse.Namespace) -> dict[str, Any]:
        given = _settings(parsed, stage.form, {}, stage.options)
        given.check(stage.name)  # before there is a folder
        with RunFolder(parsed.run, new=stage.begins_run(given)) as run:
            config = run.manifest["config"]
            settings = _settings(parsed, stage.form, config, stage.options)
            settings.check(stage.name)
            if getattr(parsed, "dry_run", False):
                plan = STAGES.plan(stage, run, settings)
                return plan if parsed.json else readable(plan)
            STAGES.run(stage, run, settings)
            known = {option.name for option in fields(stage.form)}
            others = {name: value for name, value in config.items() if name not in known}
            run.configure(others | settings.given())  # only now: a setting that was refused must not stay
        return _summary(Path(parsed.run))

    return command


def _merge(parsed: argparse.Namespace) -> dict[str, Any]:
    from pivotkit.corpus.tables.counts import Counts

    first, *others = (Counts.load(folder) for folder in parsed.counts)
    for other in others:
        first = first.merge(other)
    if first.postings is not None:
        first.postings.check()  # the sum refers to these files
    first.save(parsed.out)
    return {"counts": parsed.out, "documents": first.documents, "words": len(first.words)}


def _compare(parsed: argparse.Namespace) -> dict[str, Any]:
    from pivotkit.pipeline.compare import compare

    return {"comparison": str(compare(parsed.runs, parsed.out)), "runs": parsed.runs}


def _languages(parsed: argparse.Namespace) -> dict[str, Any]:
    from pivotkit.corpus.languages import document_languages

    candidates = None if parsed.candidates is None else [code for code in parsed.candidates.split(",") if code]
    table = document_languages(parsed.corpus, languages=parsed.languages, candidates=candidates, out=parsed.out)
    kinds: dict[str, list[Any]] = {}
    for row in table.composition().to_pylist():
        kinds.setdefault(row.pop("kind"), []).append(row)
    summary: dict[str, Any] = {"documents": table.documents, "skipped": table.skipped, "digest": table.digest}
    if parsed.json:
        return summary | {"composition": kinds}
    for kind, rows in kinds.items():
        documents, size = (sum(row[name] for row in rows) for name in ("documents", table.measure))
        largest = ", ".join(f"{row['languages']} {row['documents']:,}" for row in rows[:8])
        summary[kind] = f"{documents:,} documents, {size:,} {table.measure} ({largest})"
    return summary


def _export(parsed: argparse.Namespace) -> dict[str, Any]:
    with RunFolder(parsed.run, new=False) as run:
        return {"export": str(EXPORTS[parsed.to](run, Path(parsed.out)))}


def _lm_eval(run: RunFolder, out: Path) -> Path:
    from pivotkit.artifacts import read_table
    from pivotkit.integrations.lm_eval import export_lm_eval
    from pivotkit.lens.model.loading import load_tokenizer

    items, model = read_table(STAGES.whole(run, "items.parquet")), run.manifest["config"].get("model")
    return export_lm_eval(items, out, tokenizer=None if model is None else load_tokenizer(model))


def _logitlenskit(run: RunFolder, out: Path) -> Path:
    from pivotkit.integrations.logitlenskit import export_all_logitlenskit

    STAGES.whole(run, "traces")
    return export_all_logitlenskit(run.gather("traces"), out, model=run.manifest["config"].get("model"))


# How each tool's files are written: from the run folder, to another folder.
EXPORTS: dict[str, Callable[[RunFolder, Path], Path]] = {"lm-eval": _lm_eval, "logitlenskit": _logitlenskit}


def _info(parsed: argparse.Namespace) -> dict[str, Any]:
    from pivotkit.info import info, readable

    found = info(parsed.verbose)
    if parsed.verbose and not parsed.json:
        found["paths"] = "\n" + readable(found["paths"])
    return found


if __name__ == "__main__":
    sys.exit(main())
