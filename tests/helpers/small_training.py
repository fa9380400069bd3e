"""What the tests of continued pre-training train on. Run as a program it makes one call of `pretrain`, as a user would.

python small_training.py GIVEN OUT                 one training, one process
python small_training.py GIVEN OUT micro ROWS      the same by so many rows at once; also under torch.distributed.run
python small_training.py GIVEN OUT kill SEED       again and again, killed at 20 random moments, and once more to the end
python small_training.py GIVEN OUT at NAME...      for each: killed once where it calls NAME, then again to the end
python small_training.py GIVEN OUT full BYTES...   for each: no room for a file of more bytes after a checkpoint, then room
The last two train into OUT/0, OUT/1 and so on.
"""

from __future__ import annotations

import os
import random
import resource
import shutil
import signal
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from transformers import LlamaConfig, LlamaForCausalLM

import pivotkit as pk
from pivotkit.testbed import World, WorldConfig, build_tokenizer
from pivotkit.words.prompts import PROMPTS

RECIPE = {"length": 32, "batch": 4, "learning_rate": 1e-2, "warmup": 2}
TOKENS = 2048  # 16 updates
KILLS = 20
RESULT = "pretrain.parquet"


def make_given(folder: Path) -> None:
    world = World(WorldConfig(concepts=12, held_out=6, background=10, documents=400, blocks=10))
    world.write(folder / "world")
    tokenizer = build_tokenizer(world.vocabulary)
    torch.manual_seed(0)
    end = tokenizer.eos_token_id
    config = LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4,
        initializer_range=0.1, bos_token_id=end, eos_token_id=end, pad_token_id=end,
    )  # fmt: skip
    LlamaForCausalLM(config).save_pretrained(folder / "model")
    tokenizer.save_pretrained(folder / "model")
    documents = [[*row[row >= 0].tolist(), end] for row in world.documents.ids]
    for name, own in (("one", documents[:200]), ("two", documents[200:])):
        write_arm(folder, name, own, len(tokenizer), end)


def write_arm(folder: Path, name: str, documents: list[list[int]], vocab_size: int, eos: int) -> None:
    """Write documents as `write_selection` does, of a corpus of token files."""
    pool = folder / f"{name}-pool.npy"
    np.array([number for document in documents for number in document], "<u2").tofile(pool)
    files = pk.TokenFiles(pool, vocab_size=vocab_size, eos=eos)
    scores = pk.score_documents(files, [1])
    chosen = pk.select(scores, budget_tokens=pa.compute.sum(scores["tokens"]).as_py(), rule="random")
    pk.write_selection(chosen, files, folder / name, shard_tokens=1000)


def read_items(folder: Path) -> pa.Table:
    return pk.build_task(
        pk.read_lexicon(folder / "world" / "lexicon.tsv"), ["a-b", "b-a"], prompt=PROMPTS["testbed"], shots=2,
        contexts=1, distractors=2,
    )  # fmt: skip


def train(given: Path, out: Path, **more: Any) -> pa.Table:
    arguments = {"seeds": [0], "recipe": RECIPE, "checkpoints": 2, "save_every": 3, "latent": ["p"]}
    return pk.pretrain(
        given / "model", {"one": given / "one"}, read_items(given), tokens=TOKENS, out=out, **{**arguments, **more}
    )


def in_child(work: Any, seconds: float | None = None) -> int:
    """Do ``work`` in a fork, killed after some seconds; what it ended with."""
    child = os.fork()
    if not child:
        status = 1
        try:
            work()
            status = 0
        finally:
            os._exit(status)
    until = time.monotonic() + (1e9 if seconds is None else seconds)
    while time.monotonic() < until:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.005)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return -signal.SIGKILL


def killed_at(name: str) -> None:
    """Replace a function, ``module.function``, by one that kills this process."""
    module, _, function = name.rpartition(".")
    setattr(sys.modules[module], function, lambda *_, **__: os.kill(os.getpid(), signal.SIGKILL))


def without_room(given: Path, out: Path, limit: int) -> None:
    """Train where, after the first checkpoint, no file may have more bytes than ``limit``."""
    trainer = sys.modules["pivotkit.training.trainer"]
    finish = trainer.finish

    def finish_and_fill(*arguments: Any) -> None:
        finish(*arguments)
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    trainer.finish = finish_and_fill
    try:
        train(given, out)
    except OSError as error:
        kept = sorted(path.parent.name for path in (out / "one" / "seed-0").glob("checkpoint-*/checkpoint.json"))
        print(f"{error}; kept {', '.join(kept)}", flush=True)
        raise SystemExit from error


def main(given: Path, out: Path, how: str = "", *what: str) -> int:
    if how == "kill":
        moments, kills, timed = random.Random(int(what[0])), 0, out.with_name("timed")
        begun = time.monotonic()
        in_child(lambda: train(given, timed))
        whole = time.monotonic() - begun
        while kills < KILLS:
            status = in_child(lambda: train(given, out), moments.uniform(0.02, 0.6) * whole)
            if status == -signal.SIGKILL:
                kills += 1
            elif status or (out / RESULT).read_bytes() != (timed / RESULT).read_bytes():
                return 1
            else:  # it was done before its moment came
                shutil.rmtree(out)
        print(f"killed {kills} times")
        return in_child(lambda: train(given, out))
    elif how == "at":
        for number, name in enumerate(what):
            if (
                in_child(lambda name=name, out=out / str(number): (killed_at(name), train(given, out)))
                != -signal.SIGKILL
            ):
                print(f"{name}: not called")
            in_child(lambda out=out / str(number): train(given, out))
    elif how == "full":
        for number, limit in enumerate(what):
            in_child(lambda limit=int(limit), out=out / str(number): without_room(given, out, limit))
            in_child(lambda out=out / str(number): train(given, out))
    else:
        train(given, out, **({"recipe": {**RECIPE, "micro_batch": int(what[0])}} if how == "micro" else {}))
    return 0


if __name__ == "__main__":
    import pivotkit.training.pretrain
    import pivotkit.training.trainer  # before the forks

    torch.set_num_threads(1)
    sys.exit(main(Path(sys.argv[1]), Path(sys.argv[2]), *sys.argv[3:]))
