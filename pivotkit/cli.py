"""The command line: one command, one subcommand a stage."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from dataclasses import Field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from pivotkit.errors import BackendUnavailable
from pivotkit.pipeline.settings import Settings, options

if TYPE_CHECKING:
    from pivotkit.pipeline.run_folder import RunFolder

Command = Callable[[argparse.Namespace], dict[str, Any]]


class Parser(argparse.ArgumentParser):
    """A parser that refuses in one line."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message}\n")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one subcommand; 0 when it succeeded, 2 for a wrong argument or input, 130 for Ctrl-C."""
    parsed = _parser().parse_args(arguments)
    try:
        summary = parsed.command(parsed)
    except KeyboardInterrupt:
        print("pivotkit: interrupted; the same command goes on from here", file=sys.stderr)
        return 130
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


def _parser() -> Parser:
    parser = Parser(prog="pivotkit", description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND", parser_class=Parser)

    def add(name: str, command: Command, text: str) -> Parser:
        added = commands.add_parser(name, help=text, description=text)
        added.set_defaults(command=command)
        added.add_argument("--json", action="store_true", help="print a summary as JSON on stdout")
        added.add_argument("--traceback", action="store_true", help="show where an error came from")
        return added

    demo = add("demo", _demo, "the paper in miniature on the generated testbed: every stage, then report.html")
    demo.add_argument("--out", default="pivotkit-demo", metavar="RUN", help="run folder (default: %(default)s)")
    demo.add_argument("--full", action="store_true", help="continued pre-training too")
    demo.add_argument("--seed", type=int, default=0, help="seed of world and model (default: %(default)s)")
    demo.add_argument("--train", action="store_true", help="train the model; by default seed 0 takes the shipped one")
    run = add("run", _run, "every stage on a model, a lexicon and a corpus; goes on where it was left")
    run.add_argument("--out", required=True, metavar="RUN", help="run folder")
    _add_options(run, options())
    for name, text in STAGE_HELP.items():
        stage = add(name, _stage(name), text)
        stage.add_argument("run", metavar="RUN", help="run folder; settings it was made with are kept")
        _add_options(stage, options(name))
    merge = add("merge", _merge, "add up counts that were made of different parts of a corpus")
    merge.add_argument("counts", nargs="+", metavar="COUNTS", help="folders that `pivotkit count` wrote")
    merge.add_argument("--out", required=True, help="folder for the sum")
    pretrain = add("pretrain", _pretrain, "continue the testbed's model on selections of equal tokens and compare them")
    pretrain.add_argument("run", metavar="RUN", help="run folder of the demo")
    pretrain.add_argument("--seeds", type=int, default=2, help="training seeds (default: %(default)s)")
    export = add("export", _export, "write a run's artifacts in another tool's format")
    export.add_argument("run", metavar="RUN", help="run folder")
    export.add_argument("--to", required=True, choices=EXPORTS, help="the tool")
    export.add_argument("--out", required=True, metavar="FOLDER", help="folder for its files")
    add("info", _info, "version, instruction set, threads, CUDA, and what pivotkit builds on")
    return parser


STAGE_HELP = {
    "task": "build the translation task from a lexicon",
    "tokens": "tokenize the corpus once",
    "count": "count words and pairs in the corpus, and what surrounds them",
    "pivots": "find the pivots of every item and the hubs among them",
    "score": "score the model on the task",
    "trace": "read every layer's output at the answer position",
    "behaviors": "tell co-occurrence from pivot behavior",
    "attribution": "how well co-occurrence in the corpus predicts behavior",
    "score-documents": "score documents by their share of pivots",
    "select": "select documents within a budget and language quotas",
    "report": "write report.html",
}
BEGIN_RUNS = {"task", "tokens"}  # the stages that need nothing of others


def _add_options(parser: Parser, wanted: Sequence[Field[Any]]) -> None:
    """One flag a setting. The default is left out of the namespace, so that a run folder's own setting can stand."""
    for option in wanted:
        kind = str(option.type)
        if kind == "bool":
            parser.add_argument(
                "--" + option.name.replace("_", "-"), dest=option.name, action=argparse.BooleanOptionalAction,
                default=argparse.SUPPRESS, help=option.metadata["help"],
            )  # fmt: skip
            continue
        convert = _KINDS[kind.removesuffix(" | None")]
        default = Settings.__dataclass_fields__[option.name].default
        text = option.metadata["help"] + (f" (default: {default})" if isinstance(default, (str, int, float)) else "")
        parser.add_argument(
            "--" + option.name.replace("_", "-"), dest=option.name, type=convert, default=argparse.SUPPRESS,
            choices=option.metadata.get("choices"), help=text, metavar=None if "choices" in option.metadata else "VALUE",
        )  # fmt: skip


def _list(text: str) -> list[str]:
    return [part for part in text.split(",") if part]


def _named(text: str, what: str = "value") -> dict[str, str]:
    """``name=value,name=value``"""
    found = {}
    for part in _list(text):
        name, equals, value = part.partition("=")
        if not equals:
            raise argparse.ArgumentTypeError(f"must be name={what},name={what}; got {part!r}")
        found[name] = value
    return found


def _shares(text: str) -> dict[str, float]:
    shares = {}
    for name, value in _named(text, "share").items():
        try:
            shares[name] = float(value)
        except ValueError:
            raise argparse.ArgumentTypeError(f"share must be a number; got '{name}={value}'") from None
    return shares


_KINDS: dict[str, Callable[[str], Any]] = {
    "str": str, "int": int, "float": float, "list[str]": _list, "dict[str, float]": _shares,
    "dict[str, str]": _named,
}  # fmt: skip


def _settings(parsed: argparse.Namespace, kept: dict[str, Any]) -> Settings:
    known = {option.name for option in fields(Settings)}
    given = {name: value for name, value in vars(parsed).items() if name in known}
    return Settings(**{name: value for name, value in {**kept, **given}.items() if name in known})


def _summary(folder: Path) -> dict[str, Any]:
    from pivotkit.artifacts import read_json

    stages = read_json(folder / "run.json")["stages"]
    summary = {"run": str(folder), "seconds": {name: stage["seconds"] for name, stage in stages.items()}}
    if (folder / "report.html").exists():
        summary["report"] = str(folder / "report.html")
    return summary


def _run(parsed: argparse.Namespace) -> dict[str, Any]:
    from pivotkit.pipeline.run import run_all
    from pivotkit.pipeline.run_folder import RunFolder

    with RunFolder(parsed.out) as run:
        run_all(run, _settings(parsed, {}))
    return _summary(Path(parsed.out))


def _stage(name: str) -> Command:
    def command(parsed: argparse.Namespace) -> dict[str, Any]:
        from pivotkit.pipeline.run import STAGES
        from pivotkit.pipeline.run_folder import RunFolder

        with RunFolder(parsed.run, new=name in BEGIN_RUNS) as run:
            settings = _settings(parsed, run.manifest["config"])
            STAGES[name](run, settings)
            run.configure(settings.given())  # not before: a setting that was refused must not stay
        return _summary(Path(parsed.run))

    return command


def _demo(parsed: argparse.Namespace) -> dict[str, Any]:
    from pivotkit.testbed.demo import demo

    demo(parsed.out, seed=parsed.seed, full=parsed.full, train=parsed.train)
    return _summary(Path(parsed.out))


def _pretrain(parsed: argparse.Namespace) -> dict[str, Any]:
    from pivotkit.pipeline.run_folder import RunFolder
    from pivotkit.testbed.arms import pretrain_arms

    with RunFolder(parsed.run, new=False) as run:
        pretrain_arms(run, seeds=parsed.seeds)
    return _summary(Path(parsed.run))


def _merge(parsed: argparse.Namespace) -> dict[str, Any]:
    from pivotkit.corpus.tables.counts import Counts

    first, *others = (Counts.load(folder) for folder in parsed.counts)
    for other in others:
        first = first.merge(other)
    first.save(parsed.out)
    return {"counts": parsed.out, "documents": first.documents, "words": len(first.words)}


def _export(parsed: argparse.Namespace) -> dict[str, Any]:
    from pivotkit.pipeline.run_folder import RunFolder

    with RunFolder(parsed.run, new=False) as run:
        return {"export": str(EXPORTS[parsed.to](run, Path(parsed.out)))}


def _lm_eval(run: RunFolder, out: Path) -> Path:
    from pivotkit.artifacts import read_table
    from pivotkit.integrations.lm_eval import export_lm_eval
    from pivotkit.lens.model.loading import load_tokenizer

    items, model = read_table(run.need("items.parquet", "task")), run.manifest["config"].get("model")
    return export_lm_eval(items, out, tokenizer=None if model is None else load_tokenizer(model))


def _logitlenskit(run: RunFolder, out: Path) -> Path:
    from pivotkit.integrations.logitlenskit import export_all_logitlenskit

    run.need("traces", "trace")
    return export_all_logitlenskit(run.gather("traces"), out, model=run.manifest["config"].get("model"))


# Tool by tool: what it is given of a run, written to a folder.
EXPORTS: dict[str, Callable[[RunFolder, Path], Path]] = {"lm-eval": _lm_eval, "logitlenskit": _logitlenskit}


def _info(parsed: argparse.Namespace) -> dict[str, Any]:
    from pivotkit.info import info

    return info()


if __name__ == "__main__":
    sys.exit(main())
