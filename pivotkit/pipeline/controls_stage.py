"""The stage of controls: a selection -> other documents of as many tokens, and a table of what each arm consists of."""
# ruff: noqa: RUF009 (option is dataclasses.field with a help text)

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from pivotkit.artifacts import atomic_folder, read_object, read_table, table_metadata, with_metadata, write_table
from pivotkit.errors import InputError
from pivotkit.pipeline.corpus_stages import ID_FORMATS, scored_documents
from pivotkit.pipeline.count_stage import token_store
from pivotkit.pipeline.filter_stage import DROPPED, dropped_documents
from pivotkit.pipeline.inputs import CORPUS, DROP, LANGUAGES, MODEL, corpus_paths, model_tokenizer
from pivotkit.pipeline.settings import Settings, option
from pivotkit.pipeline.stage import Stage
from pivotkit.run_folder import RunFolder

if TYPE_CHECKING:
    from pivotkit.corpus.token_store.store import TokenStore

NAMES = ("random", "language-matched", "length-matched", "bilingual", "parallel", "code-switched", "pivot-shuffled",
         "other-pivots", "frequency-matched", "anti-pivot")  # fmt: skip
SHUFFLED = "pivot-shuffled"
SETS = {"other-pivots": "other", "frequency-matched": "control"}  # the pivots that a control ranks by
SELECTION = "selection"  # its folder, and its name in the table


@dataclass(repr=False)
class ControlsSettings(Settings):
    """The settings of a run, and which controls are made."""

    controls: list[str] = option(list(NAMES), "controls that are made; all by default", choices=NAMES)


def controls(run: RunFolder, settings: ControlsSettings) -> None:
    from pivotkit.selection.controls.arms_table import arms_table
    from pivotkit.selection.controls.controls import selection_controls
    from pivotkit.selection.writing.write import write_selection

    store = token_store(run, settings)
    documents = _described(run, settings, store)
    selection = _selection(run, settings)
    quota_by = settings.quota_by if settings.quota_by in documents.column_names else "lang"
    found = selection_controls(
        documents, selection, controls=settings.controls, quota_by=quota_by, drop=dropped_documents(run, settings),
        exact=settings.exact, seed=settings.seed, allow_shortfall=settings.allow_shortfall,
    )  # fmt: skip
    form = read_object(run / SELECTION / "manifest.json", {"format": str})["format"]
    of_ids = form in ID_FORMATS
    tokenizer = model_tokenizer(settings) if of_ids or settings.exact else None  # it also cuts texts
    table = arms_table({SELECTION: _joined(selection, documents), **found})
    with atomic_folder(run / "controls") as folder:
        for name, rows in found.items():
            if name == SHUFFLED:
                _write_shuffled(run, settings, store, selection, folder / name, form if of_ids else None)
            else:
                write_selection(
                    rows, corpus_paths(settings), folder / name, format=form, on_error=settings.on_error,
                    tokenizer=tokenizer, eos=settings.eos if of_ids else None,
                )  # fmt: skip
        write_table(table, folder / "arms.parquet")


def _described(run: RunFolder, settings: ControlsSettings, store: TokenStore) -> pa.Table:
    """The scored documents with what the controls need to know."""
    from pivotkit.corpus.languages.language_table import LanguageTable
    from pivotkit.selection.controls.describe import describe_documents
    from pivotkit.selection.controls.pivot_sets import WHAT, control_pivots
    from pivotkit.selection.scoring.scores import score_documents

    documents, scores = scored_documents(run, settings), {}
    wanted = {name: kind for name, kind in SETS.items() if name in settings.controls}
    if wanted:
        pivots, hubs = read_table(run / "pivots.parquet"), read_table(run / "hubs.parquet")
    for control, kind in wanted.items():
        tokens = control_pivots(pivots, hubs, kinds=[kind], allow_shortfall=True)[kind]
        if tokens.num_rows < hubs.num_rows and not settings.allow_shortfall:
            raise ValueError(
                f"controls: {control} must have {WHAT[kind]} for each of {hubs.num_rows} hubs; got {tokens.num_rows}: "
                f"run `pivotkit pivots` with fewer --hubs, leave it out of --controls, or set --allow-shortfall"
            )
        if tokens.num_rows:
            scores[kind] = score_documents(store, tokens)
    languages = None if settings.languages is None else LanguageTable.open(settings.languages)
    if languages is not None and "languages" in documents.column_names:
        documents = documents.drop_columns(["languages"])
    return describe_documents(documents, languages=languages, scores=scores)


def _selection(run: RunFolder, settings: ControlsSettings) -> pa.Table:
    """The rows of the selection, with the names that the corpus's units have now: files are told by their names."""
    from pivotkit.corpus.reading.documents import work_units

    place = run / SELECTION / "provenance.parquet"
    rows = read_table(place)
    units = work_units(corpus_paths(settings))
    known = {unit.name for unit in units}
    names = {unit.path.name: unit.name for unit in units}
    told = dict(zip(rows["unit"].to_pylist(), rows["file"].to_pylist(), strict=True))
    if not told.keys() <= known:  # the corpus lies elsewhere
        if len(names) < len(units) or not set(told.values()) <= names.keys():
            raise InputError(place, "", "must be of the corpus as it lies now; run `pivotkit select` again")
        moved = pa.array([names[told[unit]] for unit in rows["unit"].to_pylist()], pa.string())
        rows = rows.set_column(rows.schema.get_field_index("unit"), "unit", moved)
    return rows


def _joined(selection: pa.Table, documents: pa.Table) -> pa.Table:
    """The selection with the columns that its documents have now, for the table."""
    taken = selection.select(["unit", "row", *(["take"] if "take" in selection.column_names else [])])
    rows = taken.join(documents, ["unit", "row"], join_type="inner")
    return with_metadata(rows, table_metadata(selection))


def _write_shuffled(
    run: RunFolder, settings: ControlsSettings, store: TokenStore, selection: pa.Table, out: Path, form: str | None
) -> None:
    """The selection's tokens with other pairs' pivots: as token files, because text may be read as other tokens."""
    from pivotkit.selection.controls.pivot_sets import pivot_permutation
    from pivotkit.selection.controls.shuffle import shuffle_pivots
    from pivotkit.selection.writing.write import write_selection

    eos: Any = settings.eos if settings.eos is not None else model_tokenizer(settings).eos_token_id
    if eos is None:
        raise ValueError(f"controls: --eos must be given for {SHUFFLED}, since the tokenizer has no such id; got none")
    permutation = pivot_permutation(
        read_table(run / "pivots.parquet"), store.vocab_size, chosen=read_table(run / "hubs.parquet"),
        seed=settings.seed, allow_shortfall=settings.allow_shortfall,
    )  # fmt: skip
    write_selection(selection, shuffle_pivots(store, permutation), out, format=form, eos=int(eos))


CONTROLS = Stage(
    name="controls",
    help="take the controls of the selection: as many tokens of documents chosen without its pivots",
    run=controls,
    reads=(
        "items.parquet",
        "documents.parquet",
        "tokens",
        "pivots.parquet",
        "hubs.parquet",
        SELECTION,
        CORPUS,
        MODEL,
    ),
    uses=(LANGUAGES, DROP, DROPPED),
    writes=("controls",),
    settings=("controls", "quota_by", "exact", "allow_shortfall", "eos", "on_error", "seed"),
    functions=("selection.controls.controls.selection_controls", "selection.controls.describe.describe_documents"),
    form=ControlsSettings,
    revision=2,  # controls are written in the selection's format
)
