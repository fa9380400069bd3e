"""Near-duplicates against the exact Jaccard index of all pairs, in scripts with spaces and without."""

from __future__ import annotations

import json
import random

import numpy as np
import pytest
from guard_oracle import jaccard, made_texts, words_of
from token_formats import write_olmo

from pivotkit.corpus import TokenFiles
from pivotkit.selection import filter_documents
from pivotkit.selection.guard.near_duplicates import HASHES, bands, like_documents, signatures
from pivotkit.selection.guard.shingles import Hashed

SCRIPTS = {
    "latin": ("abcdefghijklmnop", " "),
    "chinese": ("".join(map(chr, range(0x4E00, 0x4F00))), ""),
    "japanese": ("".join(map(chr, range(0x3041, 0x3097))) + "".join(map(chr, range(0x5000, 0x5040))), ""),
}


def write_lines(path, texts, names=None):
    ids = names or [f"d{place}" for place in range(len(texts))]
    lines = (json.dumps({"id": name, "text": text}) for name, text in zip(ids, texts, strict=True))
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.mark.parametrize("script", SCRIPTS)
def test_what_stays_is_unlike_and_what_goes_is_like_what_stays(tmp_path, script):
    texts = made_texts(3, 20, 9, *SCRIPTS[script])
    dropped = filter_documents(write_lines(tmp_path / "a.jsonl", texts), quality=())
    words = list(map(words_of, texts))
    gone = dict(zip(dropped["row"].to_pylist(), dropped["like"].to_pylist(), strict=True))
    stays = [row for row in range(len(texts)) if row not in gone]
    rest = [jaccard(words[one], words[other]) for at, one in enumerate(stays) for other in stays[:at]]
    lost = [jaccard(words[row], words[int(like[1:])]) for row, like in gone.items()]
    assert all(like.startswith("d") and int(like[1:]) in set(stays) for like in gone.values())
    assert max(rest) < 0.8 + 4 * 0.035  # the estimate's standard error
    assert min(lost) > 0.8 - 4 * 0.035
    exact = [jaccard(words[row], words[stay]) for row in range(len(texts)) for stay in stays if row != stay]
    assert sum(found >= 0.8 for found in exact) > 25, "the texts must hold near-duplicates"
    assert sum(found >= 0.8 for found in rest) <= 0.1 * sum(found >= 0.8 for found in exact)


def test_equal_words_are_near_duplicates_whatever_stands_between_them(tmp_path):
    file = write_lines(
        tmp_path / "a.jsonl", ["Un, deux", "un deux!", "UN  (deux)", "deux un", "", "...", "un deux trois"]
    )
    dropped = filter_documents(file, quality=())
    assert dropped.num_rows == 2
    assert set(dropped["row"].to_pylist()) < {0, 1, 2}


def test_the_order_of_files_and_documents_and_the_workers_change_nothing(tmp_path):
    texts = made_texts(5, 12, 6, *SCRIPTS["latin"])
    names = [f"d{place}" for place in range(len(texts))]
    shuffled = list(zip(names, texts, strict=True))
    random.Random(1).shuffle(shuffled)
    for folder, listed in (("one", list(zip(names, texts, strict=True))), ("two", shuffled)):
        (tmp_path / folder).mkdir()
        half = len(listed) // 2 if folder == "one" else 10
        for name, part in (("a", listed[:half]), ("b", listed[half:])):
            write_lines(tmp_path / folder / f"{name}.jsonl", [text for _, text in part], [one for one, _ in part])
    found = [
        sorted(zip(dropped["id"].to_pylist(), dropped["like"].to_pylist(), strict=True))
        for files, workers in ((["one/a", "one/b"], 1), (["two/b", "two/a"], 2))
        for dropped in [filter_documents([tmp_path / f"{file}.jsonl" for file in files], quality=(), workers=workers)]
    ]
    assert found[0] == found[1] != []


def test_another_seed_keeps_other_documents(tmp_path):
    file = write_lines(tmp_path / "a.jsonl", made_texts(5, 12, 6, *SCRIPTS["latin"]))
    one, other = (filter_documents(file, quality=(), seed=seed)["row"].to_pylist() for seed in (0, 1))
    assert one != other
    assert abs(len(one) - len(other)) <= 12


@pytest.mark.parametrize(("threshold", "kept"), [(1.0, 3), (0.8, 2), (0.15, 1)])
def test_the_threshold_is_the_callers(tmp_path, threshold, kept):
    words = [f"w{place}" for place in range(200)]
    other = [*words[:100], *(f"x{place}" for place in range(100))]  # 96 shingles of 196 each, or a third of all
    texts = [" ".join(words), " ".join(words).upper(), " ".join([*words, "y"]), " ".join(other)]
    dropped = filter_documents(write_lines(tmp_path / "a.jsonl", texts), quality=(), near_duplicates=threshold)
    assert len(texts) - dropped.num_rows == kept


def test_token_ids_are_compared_as_words_are(tmp_path):
    words = np.random.default_rng(0).integers(1, 500, 90).tolist()
    texts = [[*words, 0], [*words[::-1], 0], [*words[:-1], 7, 0]]
    files = TokenFiles(write_olmo(tmp_path / "a.npy", texts), vocab_size=512, eos=0)
    dropped = filter_documents(files)
    assert dropped["row"].to_pylist() in ([0], [2])
    assert dropped["tokens"].to_pylist() == [91]


def test_signatures_estimate_the_jaccard_index_without_bias():
    draw = np.random.default_rng(0)
    shared, errors = draw.integers(0, 2**63, 800, np.uint64), []
    for _ in range(40):
        one, other = (np.concatenate([shared, draw.integers(0, 2**63, 100, np.uint64)]) for _ in range(2))
        words = Hashed(np.concatenate([one, other]), np.array([0, 900, 1800]))
        signs = signatures(words, int(draw.integers(2**32)))
        errors.append((signs[0] == signs[1]).mean() - 796 / (2 * 896 - 796))
    assert abs(np.mean(errors)) < 4 * 0.035 / np.sqrt(40)


@pytest.mark.parametrize("threshold", [0.05, 0.3, 0.5, 0.8, 0.95, 1.0])
def test_bands_find_a_pair_of_the_least_similarity(threshold):
    number, rows = bands(threshold)
    assert number * rows <= HASHES
    assert threshold < 0.1 or 1 - (1 - threshold**rows) ** number >= 0.999


def test_none_is_dropped_for_being_like_what_is_dropped():
    signs = np.zeros((3, HASHES), np.uint16)
    signs[1, :20] = 1
    signs[2, :40] = 1  # 0 and 1 agree in 108 hashes, 1 and 2 too, but 0 and 2 in 88
    assert like_documents(signs, np.array([0, 1, 2]), 0.8).tolist() == [-1, 0, -1]
    assert like_documents(signs, np.array([1, 0, 2]), 0.8).tolist() == [1, -1, 1]
    assert like_documents(signs, np.array([0, 2]), 0.8).tolist() == [-1, -1, -1]
