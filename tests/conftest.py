"""Fixtures that every room's tests share."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from hypothesis import settings
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from pivotkit.words.lexicon import Lexicon

settings.register_profile("pivotkit", deadline=None)  # a first call may compile
settings.load_profile("pivotkit")

ROOT = Path(__file__).resolve().parents[1]
PROCESSES = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))  # of pytest, side by side

TORCH_THREADS = torch.get_num_threads()
torch.set_num_threads(1)  # On models as small as the tests', threads wait for each other longer than they compute.


@pytest.fixture(scope="session", autouse=True)
def _elsewhere(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Leave the repository, so that a child process imports the installed package and not the folder of its sources."""
    before = Path.cwd()
    os.chdir(tmp_path_factory.mktemp("elsewhere"))
    yield
    os.chdir(before)


@pytest.fixture
def all_threads() -> Iterator[None]:
    """As many threads of torch as outside the tests."""
    before = torch.get_num_threads()
    torch.set_num_threads(TORCH_THREADS)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def made_once(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, Callable[[Path], object]], Path]:
    """``made_once(name, make)``: a folder that ``make`` fills, once for all processes of pytest; the others wait for it."""
    base = tmp_path_factory.getbasetemp()
    base = base.parent if PROCESSES > 1 else base

    def made(name: str, make: Callable[[Path], object]) -> Path:
        folder, unfinished = base / name, base / f"{name}.unfinished"
        with (base / f"{name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not folder.exists():
                shutil.rmtree(unfinished, ignore_errors=True)
                unfinished.mkdir()
                make(unfinished)
                unfinished.rename(folder)
        return folder

    return made


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder with real words and text: $PIVOTKIT_SHARED, or ``shared`` beside the repository."""
    folder = Path(os.environ.get("PIVOTKIT_SHARED", ROOT.parent / "shared"))
    if not folder.is_dir():
        pytest.skip(f"real data is absent: no folder {folder.name!r} beside the repository and no $PIVOTKIT_SHARED")
    return folder


@pytest.fixture(scope="session")
def real_models() -> Path:
    """The folder with real models: $PIVOTKIT_MODELS, or the user's cache."""
    cache = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"))
    folder = Path(os.environ.get("PIVOTKIT_MODELS", cache / "pivotkit" / "models"))
    if not (folder / "gemma3-270m" / "config.json").exists():
        pytest.skip("real models are absent: run the project's model fetch tool or set $PIVOTKIT_MODELS")
    return folder


WORDS = {"en": ["dog", "cat", "house", "school", "star", "fish", "tree", "book", "door", "hand", "foot", "moon", "rain", "salt", "ship", "bird"],
         "fr": ["chien", "chat", "maison", "école", "étoile", "poisson", "arbre", "livre", "porte", "main", "pied", "lune", "pluie", "sel", "navire", "oiseau"],
         "zh": ["狗", "猫", "房子", "学校", "星星", "鱼", "树", "书", "门", "手", "脚", "月亮", "雨", "盐", "船", "鸟"]}  # fmt: skip


@pytest.fixture(scope="session")
def lexicon():
    rows = [dict(zip(WORDS, words, strict=True)) for words in zip(*WORDS.values(), strict=True)]
    return Lexicon({"en": "English", "fr": "French", "zh": "Chinese"}, rows, [""] * len(rows))


@pytest.fixture(scope="session")
def tokenizer():
    """Byte-level BPE: Chinese words fall into fragments, some French ones into pieces."""
    raw = Tokenizer(models.BPE())
    raw.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    raw.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=400, initial_alphabet=sorted(alphabet), special_tokens=["<bos>"], show_progress=False
    )
    raw.train_from_iterator([f" {word}" for word in WORDS["en"] + WORDS["fr"][:8]] * 4, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=raw, bos_token="<bos>")
