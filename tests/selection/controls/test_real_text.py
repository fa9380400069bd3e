"""On a sample of real text in two languages: documents in one language, and parallel ones."""

from __future__ import annotations

import io

import orjson
import pyarrow as pa
import pytest
import zstandard

from pivotkit.corpus import tokenize
from pivotkit.corpus.languages import document_languages
from pivotkit.selection import arms_table, describe_documents, score_documents, select, selection_controls

SAMPLES = {
    "en": ("corpus/en.jsonl.zst", 600),
    "fr": ("corpus/fr.jsonl.zst", 600),
    "both": ("bilingual/en-fr.jsonl.zst", 1500),
}
PAIRS = [("file", "fichier"), ("name", "nom"), ("user", "utilisateur"), ("key", "clé"), ("window", "fenêtre")]


@pytest.fixture(scope="module")
def documents(shared, tmp_path_factory):
    pytest.importorskip("py3langid")
    tokenizers = pytest.importorskip("tokenizers")
    folder, tokens = tmp_path_factory.mktemp("real"), tmp_path_factory.mktemp("tokens")
    for name, (place, number) in SAMPLES.items():
        if not (shared / "data" / place).exists():
            pytest.skip(f"real data is absent: no {place}")
        with (shared / "data" / place).open("rb") as raw, zstandard.ZstdDecompressor().stream_reader(raw) as stream:
            lines = io.TextIOWrapper(stream, "utf-8")
            (folder / f"{name}.jsonl").write_text("".join(next(lines) for _ in range(number)), "utf-8")
    texts = [
        orjson.loads(line)["text"][:2000]
        for file in folder.glob("*.jsonl")
        for line in file.read_text("utf-8").splitlines()
    ]
    core = tokenizers.Tokenizer(tokenizers.models.BPE())
    core.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel()
    trainer = tokenizers.trainers.BpeTrainer(vocab_size=2000, show_progress=False)
    core.train_from_iterator(texts[::5], trainer)
    store = tokenize(folder, core, tokens / "store")
    languages = document_languages(folder, languages="detect", candidates=["en", "fr"], workers=1)
    scores = score_documents(store, [core.token_to_id(token) for token in ("Ġde", "Ġthe")])
    return describe_documents(scores, languages=languages, corpus=folder, pairs=PAIRS)


def test_kinds_are_told_by_the_text(documents):
    rows = documents.to_pylist()
    gettext = [row for row in rows if row["lang"] == "en+fr"]
    assert len(gettext) == 1500
    assert sum(row["languages"] == "en+fr" for row in gettext) > 0.95 * len(gettext)
    assert sum(row["kind"] == "parallel" for row in gettext) > 0.8 * len(gettext)
    assert {row["kind"] for row in rows} >= {"monolingual", "parallel"}


def test_controls_of_real_text_have_equal_tokens(documents):
    budget = 4000
    selection = select(documents, budget_tokens=budget, quotas={"en+fr": 1.0}, quota_by="languages")
    names = ["random", "language-matched", "length-matched", "bilingual", "parallel", "anti-pivot"]
    controls = selection_controls(documents, selection, controls=names, quota_by="languages", seed=5)
    table = {row["arm"]: row for row in arms_table({"selection": selection, **controls}).to_pylist()}
    for name, rows in controls.items():
        longest = max(rows["tokens"].to_pylist())
        assert 0 <= table[name]["tokens"] - table["selection"]["tokens"] < longest or name == "length-matched"
    for name in ("bilingual", "parallel", "language-matched", "length-matched", "anti-pivot"):
        assert dict(table[name]["languages"]) == {"en+fr": 1.0}
    assert table["random"]["bilingual"] < 0.9
    assert table["parallel"]["parallel"] == 1.0
    assert table["anti-pivot"]["pivot_share"] < table["bilingual"]["pivot_share"] < table["selection"]["pivot_share"]
    lengths = {name: row["median_length"] for name, row in table.items()}
    assert abs(lengths["length-matched"] - lengths["selection"]) <= abs(lengths["random"] - lengths["selection"])
    assert isinstance(controls["random"], pa.Table)
