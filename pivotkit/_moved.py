"""Module paths of before 0.1: each still imports, as the very module that took its place, until 0.2."""

from __future__ import annotations

import importlib
import sys
import warnings
from collections.abc import Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType

# Packages that are gone; they import as empty ones, and what lay in them is in MOVED.
GONE = ("pivotkit.experiment", "pivotkit.stages")
# Three old modules are packages of the same name now and pass on what they held: pivotkit.corpus.token_graph,
# pivotkit.lens.model, pivotkit.pipeline.
MOVED = {
    "pivotkit.corpus.units": "pivotkit.corpus.reading.units",
    "pivotkit.corpus.boundaries": "pivotkit.corpus.reading.boundaries",
    "pivotkit.corpus.line_files": "pivotkit.corpus.reading.line_files",
    "pivotkit.corpus.column_files": "pivotkit.corpus.reading.column_files",
    "pivotkit.corpus.records": "pivotkit.corpus.reading.records",
    "pivotkit.corpus.text_block": "pivotkit.corpus.reading.text_block",
    "pivotkit.corpus.documents": "pivotkit.corpus.reading.documents",
    "pivotkit.corpus.id_file": "pivotkit.corpus.reading.token_blocks",
    "pivotkit.corpus.scope": "pivotkit.corpus.reading.scope",
    "pivotkit.corpus.budget": "pivotkit.corpus.reading.budget",
    "pivotkit.corpus.token_files": "pivotkit.corpus.reading.token_formats",
    "pivotkit.corpus.token_corpus": "pivotkit.corpus.reading.token_files",
    "pivotkit.corpus.tokens": "pivotkit.corpus.token_store.tokenize",
    "pivotkit.corpus.reading.token_store": "pivotkit.corpus.token_store.tokenize",
    "pivotkit.corpus.watchlist": "pivotkit.corpus.matching.watchlist",
    "pivotkit.corpus.token_watchlist": "pivotkit.corpus.matching.token_watchlist",
    "pivotkit.corpus.match": "pivotkit.corpus.matching.match",
    "pivotkit.corpus.unicode_data": "pivotkit.corpus.matching.unicode_data",
    "pivotkit.corpus.unit_counter": "pivotkit.corpus.counting.unit_counter",
    "pivotkit.corpus.unit_tokens": "pivotkit.corpus.counting.unit_tokens",
    "pivotkit.corpus.sampled_context": "pivotkit.corpus.counting.sampled_context",
    "pivotkit.corpus.merge": "pivotkit.corpus.counting.merge",
    "pivotkit.corpus.sources": "pivotkit.corpus.counting.sources",
    "pivotkit.corpus.lowest_hashes": "pivotkit.corpus.counting.bottom_k",
    "pivotkit.corpus.block": "pivotkit.corpus.counting.matched_block",
    "pivotkit.corpus.counts": "pivotkit.corpus.tables.counts",
    "pivotkit.corpus.counts_folder": "pivotkit.corpus.tables.counts_folder",
    "pivotkit.corpus.context_table": "pivotkit.corpus.tables.context_table",
    "pivotkit.corpus.postings": "pivotkit.corpus.tables.postings",
    "pivotkit.corpus.partial": "pivotkit.corpus.tables.unit_counts",
    "pivotkit.corpus.graph_table": "pivotkit.corpus.token_graph.graph",
    "pivotkit.corpus.graph_files": "pivotkit.corpus.token_graph.files",
    "pivotkit.corpus.pair_weights": "pivotkit.corpus.token_graph.pair_weights",
    "pivotkit.corpus.token_pieces": "pivotkit.corpus.token_graph.pieces",
    "pivotkit.corpus.row_ranges": "pivotkit.corpus.token_graph.row_ranges",
    "pivotkit.settings": "pivotkit.pipeline.settings",
    "pivotkit.pipeline.run_folder": "pivotkit.run_folder",
    "pivotkit.stages.corpus": "pivotkit.pipeline.corpus_stages",
    "pivotkit.stages.model": "pivotkit.pipeline.model_stages",
    "pivotkit.stages.study": "pivotkit.pipeline.joint_stages",
    "pivotkit.stages.inputs": "pivotkit.pipeline.inputs",
    "pivotkit.experiment.attribution": "pivotkit.attribution.attribute",
    "pivotkit.experiment.statistics": "pivotkit.attribution.statistics",
    "pivotkit.experiment.pretrain": "pivotkit.training.pretrain",
    "pivotkit.experiment.training": "pivotkit.training.loop",
    "pivotkit.experiment.demo": "pivotkit.testbed.commands.demo",
    "pivotkit.experiment.arms": "pivotkit.testbed.experiment.arms",
    "pivotkit.experiment.testbed.config": "pivotkit.testbed.config",
    "pivotkit.experiment.testbed.items": "pivotkit.testbed.items",
    "pivotkit.experiment.testbed.planted": "pivotkit.testbed.planted",
    "pivotkit.experiment.testbed.planted_model": "pivotkit.testbed.planted_model",
    "pivotkit.experiment.testbed.recovery": "pivotkit.testbed.recovery",
    "pivotkit.experiment.testbed.tokenizer": "pivotkit.testbed.tokenizer",
    "pivotkit.experiment.testbed.trained": "pivotkit.testbed.trained",
    "pivotkit.experiment.testbed.world": "pivotkit.testbed.world",
    "pivotkit.experiment.testbed": "pivotkit.testbed",
    "pivotkit.lens.head": "pivotkit.lens.model.head",
    "pivotkit.lens.families": "pivotkit.lens.model.families",
    "pivotkit.lens.proof": "pivotkit.lens.model.proof",
    "pivotkit.lens.capture": "pivotkit.lens.model.capture",
    "pivotkit.lens.cache": "pivotkit.lens.model.cache",
    "pivotkit.lens.encoding": "pivotkit.lens.model.encoding",
    "pivotkit.lens.gguf": "pivotkit.lens.model.gguf",
    "pivotkit.lens.difference": "pivotkit.lens.model.difference",
    "pivotkit.lens.prefix_tree": "pivotkit.lens.model.prefix_tree",
    "pivotkit.lens.curves": "pivotkit.lens.tracked_tokens",
    "pivotkit.lens.tuned": "pivotkit.lens.fitted.tuned",
    "pivotkit.lens.watch": "pivotkit.lens.model.observe",
    "pivotkit.words.token_sets": "pivotkit.words.word_tokens",
}


class _Finder:
    """Finds the old paths, and itself loads them."""

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if name in MOVED or name in GONE:
            return ModuleSpec(name, self, is_package=name in GONE)  # type: ignore[arg-type]
        return None

    def create_module(self, spec: ModuleSpec) -> None:
        """None: an empty module of the usual kind."""

    def exec_module(self, module: ModuleType) -> None:
        """Put the new module in the place of the empty one; its own name and spec stay as they are."""
        old = module.__name__
        if old in MOVED:
            message = f"{old} has moved to {MOVED[old]}; the old path goes in pivotkit 0.2"
            warnings.warn(message, DeprecationWarning, stacklevel=2)
            sys.modules[old] = importlib.import_module(MOVED[old])


_finder = _Finder()


def install() -> None:
    """Let imports find the old paths. It goes first: else an old child of an alias would load a second time."""
    if _finder not in sys.meta_path:
        sys.meta_path.insert(0, _finder)
