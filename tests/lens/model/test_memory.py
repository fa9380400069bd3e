"""Peak memory of score and trace: activations and bounded batches, but never all logits."""

from __future__ import annotations

import subprocess
import sys

import pytest

# A small model with a vocabulary of real size: logits of all sequences or positions would take gigabytes.
SCRIPT = """
import sys
from pathlib import Path

import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from pivotkit.lens.model.head import LensHead
from pivotkit.lens.score import score
from pivotkit.lens.trace import trace
from pivotkit.words.lexicon import Lexicon
from pivotkit.words.task import build_task


def resident(field):
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(field)) / 1024


rows = [{"en": f"word{n}", "fr": f"mot{n}"} for n in range(40)]
known = ["[UNK]", ":", ".", "English", "French", *"Please translate words from to".split()]
known += [word for row in rows for word in row.values()]
raw = Tokenizer(models.WordLevel({word: at for at, word in enumerate(known)}, unk_token="[UNK]"))
raw.pre_tokenizer = pre_tokenizers.Whitespace()
tokenizer = PreTrainedTokenizerFast(tokenizer_object=raw, unk_token="[UNK]")
torch.manual_seed(0)
model = LlamaForCausalLM(LlamaConfig(
    vocab_size=150_000, hidden_size=64, intermediate_size=128, num_hidden_layers=4, num_attention_heads=4,
    max_position_embeddings=256)).eval()
items = build_task(Lexicon({"en": "English", "fr": "French"}, rows, [""] * 40), ["en-fr"], limit=12)
head = LensHead.from_model(model)
runs = {
    "score": lambda items: score(model, items, tokenizer, head=head),
    "trace": lambda items: trace(model, items, tokenizer, head=head),
    "everywhere": lambda items: trace(model, items, tokenizer, positions=["all"], head=head),
}
for what, run in runs.items():
    run(items.slice(0, 1))  # libraries' own buffers
    Path("/proc/self/clear_refs").write_text("5")
    before = resident("VmRSS")
    run(items)
    print(what, resident("VmHWM") - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="peak memory is read from /proc")
def test_the_peaks_of_score_and_trace_stay_within_what_is_stated():
    """64 MiB of the unembedding's workspace, keys and values of 4,096 tokens (8 MiB here), 4,096 states, and results.

    Logits of 600 sequences of 40 tokens would take 14 GB; of every token of one prompt in five layers, 120 MB.
    """
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True, timeout=300)
    peaks = {what: float(peak) for what, peak in map(str.split, done.stdout.splitlines())}  # MiB above what was held
    assert list(peaks) == ["score", "trace", "everywhere"]
    assert max(peaks.values()) < 150, peaks
