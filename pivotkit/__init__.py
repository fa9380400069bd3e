"""pivotkit: semantic pivots in multilingual language models, from the model's layers to its pre-training corpus.

``import pivotkit as pk`` loads nothing else: a public name loads its room when it is first asked for.
"""

from importlib import import_module as _import_module

from pivotkit import _moved

# Each public name and the room it comes from; __init__.pyi says the same to editors and type checkers.
PUBLIC = {
    "unembed": "pivotkit.kernels",
    "PackedUnembedding": "pivotkit.kernels",
    "read_lexicon": "pivotkit.words.lexicon",
    "check_lexicon": "pivotkit.corpus.lexicon_check",
    "build_task": "pivotkit.words.task",
    "read_items": "pivotkit.words.items",
    "load_model": "pivotkit.lens.model",
    "LensHead": "pivotkit.lens.model.head",
    "score": "pivotkit.lens.score",
    "trace": "pivotkit.lens.trace",
    "contrast_means": "pivotkit.lens.contrast_means",
    "fit_lens": "pivotkit.lens.fitted",
    "classify": "pivotkit.lens.behavior",
    "causal_test": "pivotkit.causal.causal_test",
    "causal_effects": "pivotkit.causal.effects",
    "TokenFiles": "pivotkit.corpus",
    "Strata": "pivotkit.corpus",
    "TokenWatchList": "pivotkit.corpus",
    "WatchList": "pivotkit.corpus",
    "tokenize": "pivotkit.corpus",
    "count": "pivotkit.corpus",
    "Counts": "pivotkit.corpus",
    "document_languages": "pivotkit.corpus.languages",
    "LanguageTable": "pivotkit.corpus.languages",
    "token_graph": "pivotkit.corpus.token_graph",
    "find_pivots": "pivotkit.pivots",
    "hub_pivots": "pivotkit.pivots",
    "word_pivots": "pivotkit.pivots.word_pivots",
    "score_documents": "pivotkit.selection",
    "filter_documents": "pivotkit.selection",
    "select": "pivotkit.selection",
    "selection_controls": "pivotkit.selection",
    "describe_documents": "pivotkit.selection",
    "control_pivots": "pivotkit.selection",
    "pivot_permutation": "pivotkit.selection",
    "shuffle_pivots": "pivotkit.selection",
    "arms_table": "pivotkit.selection",
    "write_selection": "pivotkit.selection",
    "mix": "pivotkit.selection",
    "attribute": "pivotkit.attribution",
    "pivot_mass": "pivotkit.attribution.pivot_mass",
    "pivot_agreement": "pivotkit.attribution.pivot_agreement",
    "pretrain": "pivotkit.training.pretrain",
    "write_report": "pivotkit.report",
    "write_comparison": "pivotkit.report",
}
__all__ = ["__version__", *PUBLIC]

_moved.install()


def __getattr__(name: str) -> object:
    if name == "__version__":
        value: object = _version()
    elif name in PUBLIC:
        value = getattr(_import_module(PUBLIC[name]), name)
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = value  # asked once
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


def _version() -> str:
    """The version that was installed; in a checkout without an installation, the one in its pyproject.toml."""
    import re
    from importlib.metadata import PackageNotFoundError, version
    from pathlib import Path

    try:
        return version("pivotkit")
    except PackageNotFoundError:
        project = Path(__file__).parents[1] / "pyproject.toml"
        found = re.search(r'^version = "(.+)"$', project.read_text("utf-8"), re.MULTILINE) if project.exists() else None
        return f"{found[1]}+checkout" if found else "0+unknown"
