"""A model is what its files say: every tensor comes from them, or the model is refused by file and tensor."""

from __future__ import annotations

import json
import random
import re
import shutil
import struct
import zlib

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file

from pivotkit.cli import main
from pivotkit.errors import InputError
from pivotkit.lens.model.checkpoint import INDEX, SINGLE, read_header
from pivotkit.lens.model.loading import load_model, load_tokenizer


@pytest.fixture(scope="module")
def whole(llama, tokenizer, tmp_path_factory):
    """A folder of one file; nothing is tied."""
    place = tmp_path_factory.mktemp("whole") / "llama"
    llama.save_pretrained(place)
    tokenizer.save_pretrained(place)
    return place


@pytest.fixture
def folder(whole, tmp_path):
    return shutil.copytree(whole, tmp_path / "model")


def change_weights(folder, change):
    weights = load_file(folder / SINGLE)
    change(weights)
    save_file(weights, folder / SINGLE, metadata={"format": "pt"})


def configure(folder, **values):
    file = folder / "config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **values}))


def split(folder, index=lambda places: places, drop=()):
    """The weights in three files with an index."""
    weights = load_file(folder / SINGLE)
    (folder / SINGLE).unlink()
    places = {name: f"part-{zlib.crc32(name.encode()) % 3}.safetensors" for name in weights}
    for file in set(places.values()):
        held = {name: weights[name] for name in weights if places[name] == file and name not in drop}
        save_file(held, folder / file, metadata={"format": "pt"})
    (folder / INDEX).write_text(json.dumps({"metadata": {}, "weight_map": index(places)}))
    return places


def refused(folder, file, place, problem):
    where = f"{folder / file}, {place}: " if place else f"{folder / file}: "
    with pytest.raises(InputError, match=re.escape(where) + problem) as caught:
        load_model(folder)
    assert "\n" not in str(caught.value)


NAMES = [
    "model.embed_tokens.weight", "model.norm.weight", "lm_head.weight",
    *(f"model.layers.{layer}.{part}.weight" for layer in range(3)
      for part in ("input_layernorm", "post_attention_layernorm", "self_attn.q_proj", "self_attn.k_proj",
                   "self_attn.v_proj", "self_attn.o_proj", "mlp.gate_proj", "mlp.up_proj", "mlp.down_proj")),
]  # fmt: skip


def test_the_names_are_all_there_are(whole):
    assert set(load_file(whole / SINGLE)) == set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_any_missing_tensor_is_named(folder, name):
    change_weights(folder, lambda weights: weights.pop(name))
    refused(folder, SINGLE, f"tensor {name}", "must be in the file, because the model has it; it is missing$")


@pytest.mark.parametrize("name", NAMES[::7])
def test_a_missing_tensor_is_named_with_the_file_that_should_hold_it(folder, name):
    places = split(folder, drop=[name])
    refused(folder, places[name], f"tensor {name}", "must be in the file")


@pytest.mark.parametrize("name", NAMES[::7])
def test_a_tensor_that_no_file_should_hold_is_named_with_the_index(folder, name):
    split(folder, index=lambda places: {key: places[key] for key in places if key != name}, drop=[name])
    refused(folder, INDEX, f"tensor {name}", "must be in the file")


@pytest.mark.parametrize("name", NAMES[::3])
@pytest.mark.parametrize("sharded", [False, True])
def test_any_misshapen_tensor_is_named_with_both_shapes(folder, name, sharded):
    shape = list(load_file(folder / SINGLE)[name].shape)
    change_weights(folder, lambda weights: weights.update({name: torch.ones([*shape[:-1], shape[-1] + 1])}))
    file = split(folder)[name] if sharded else SINGLE
    other = re.escape(str([*shape[:-1], shape[-1] + 1]))
    problem = rf"must have the shape {re.escape(str(shape))} that config.json gives it; got {other}"
    refused(folder, file, f"tensor {name}", problem)


@pytest.mark.parametrize("size", [1, 100, 399, 401, 1000])
@pytest.mark.parametrize("tied", [False, True])
def test_another_vocabulary_size_is_refused(folder, size, tied):
    rows = len(load_tokenizer(folder))
    if tied:
        change_weights(folder, lambda weights: weights.pop("lm_head.weight"))
    configure(folder, vocab_size=size if size != rows else size + 7, tie_word_embeddings=tied)
    first = "model.embed_tokens.weight" if tied else "lm_head.weight"
    refused(folder, SINGLE, f"tensor {first}", rf"must have the shape .* that config.json gives it; got \[{rows}, 32\]")


@pytest.mark.parametrize(
    ("values", "name", "problem"),
    [
        ({"num_hidden_layers": 2}, "model.layers.2.input_layernorm.weight", "but model.layers has 2 blocks"),
        ({"num_hidden_layers": 1}, "model.layers.1.input_layernorm.weight", "but model.layers has 1 blocks"),
        ({"num_hidden_layers": 4}, "model.layers.3.input_layernorm.weight", "is missing, as are 8 more"),
        ({"attention_bias": True}, "model.layers.0.self_attn.k_proj.bias", "is missing, as are 11 more"),
        ({"hidden_size": 64}, "lm_head.weight", r"the shape \[\d+, 64\]"),
        ({"intermediate_size": 24}, "model.layers.0.mlp.down_proj.weight", r"\[32, 24\] that .* got \[32, 48\]"),
        ({"num_key_value_heads": 4}, "model.layers.0.self_attn.k_proj.weight", r"\[32, 32\] that .* got \[16, 32\]"),
        ({"head_dim": 16}, "model.layers.0.self_attn.k_proj.weight", r"\[32, 32\] that .* got \[16, 32\]"),
    ],
)  # fmt: skip
def test_a_configuration_that_differs_from_the_weights_is_refused_by_tensor(folder, values, name, problem):
    configure(folder, **values)
    refused(folder, SINGLE, f"tensor {name}", f".*{problem}")


def test_a_bias_that_the_configuration_leaves_out_is_refused(folder):
    name = "model.layers.1.self_attn.q_proj.bias"
    change_weights(folder, lambda weights: weights.update({name: torch.ones(32)}))
    refused(folder, SINGLE, f"tensor {name}", "must be part of the model; it is in the file, but the parameter is off")


@pytest.mark.parametrize("dtype", [torch.int8, torch.uint8, torch.int32, torch.float8_e4m3fn, torch.bool])
@pytest.mark.parametrize("name", [NAMES[1], NAMES[9]])
def test_weights_in_integers_without_their_scales_are_refused(folder, dtype, name):
    change_weights(folder, lambda weights: weights.update({name: weights[name].to(dtype)}))
    refused(folder, SINGLE, f"tensor {name}", "must hold floating-point numbers of 16 bits or more where .*; got [A-Z]")


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_weights_of_any_floating_type_are_read(folder, dtype):
    change_weights(folder, lambda weights: weights.update({name: weights[name].to(dtype) for name in weights}))
    assert load_model(folder)[0].lm_head.weight.dtype == torch.float32


def logits(model):
    with torch.inference_mode():
        return model(input_ids=torch.tensor([[3, 7, 1]])).logits


@pytest.mark.parametrize("absent", ["lm_head.weight", "model.embed_tokens.weight"])
def test_a_tied_weight_may_stand_under_either_name(folder, llama, absent):
    matrix = llama.model.embed_tokens.weight.detach()
    change_weights(folder, lambda weights: weights.update({"lm_head.weight": matrix.clone()}))
    change_weights(folder, lambda weights: weights.pop(absent))
    configure(folder, tie_word_embeddings=True)
    model, _ = load_model(folder)
    assert model.lm_head.weight is model.model.embed_tokens.weight
    assert torch.equal(model.lm_head.weight, matrix)


def test_both_tied_weights_missing_are_missing(folder):
    change_weights(folder, lambda weights: [weights.pop(name) for name in (NAMES[0], NAMES[2])])
    configure(folder, tie_word_embeddings=True)
    refused(folder, SINGLE, "tensor lm_head.weight", "must be in the file")


def test_tensors_of_no_part_of_the_model_do_not_matter(folder, llama):
    others = {"model.layers.0.self_attn.rotary_emb.inv_freq": torch.ones(4), "v_head.summary.weight": torch.ones(2, 2),
              "mtp.layers.7.weight": torch.ones(3)}  # fmt: skip
    change_weights(folder, lambda weights: weights.update(others))
    model, _ = load_model(folder)
    assert torch.equal(logits(model), logits(llama))


@pytest.mark.parametrize("sharded", [False, True])
def test_a_whole_model_loads_bit_for_bit(folder, llama, sharded):
    if sharded:
        split(folder)
    assert torch.equal(logits(load_model(folder)[0]), logits(llama))


FAMILIES = ["gpt2", "bloom", "opt", "gpt_neox", "mixtral", "gemma2", "falcon", "bert",
            "recurrent_gemma", "falcon_h1", "llama tied"]  # fmt: skip


@pytest.mark.parametrize("family_name", FAMILIES)
def test_what_a_family_does_not_save_is_not_missing_and_what_it_saves_is_needed(
    make_model, tokenizer, family_name, tmp_path
):
    model = make_model(family_name, vocab_size=len(tokenizer))
    model.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    assert torch.equal(logits(load_model(tmp_path)[0]), logits(model))
    weights = load_file(tmp_path / SINGLE)
    for name in random.Random(family_name).sample(sorted(weights), 2):
        save_file({key: weights[key] for key in weights if key != name}, tmp_path / SINGLE, metadata={"format": "pt"})
        with pytest.raises(InputError, match=r"tensor \S*: must be (in the file, because|made of several)"):
            load_model(tmp_path)


@pytest.mark.parametrize("share", [0.0, 1e-5, 1e-4, 0.01, 0.1, 0.3, 0.5, 0.7, 0.9, 0.99, 0.99999])
@pytest.mark.parametrize("sharded", [False, True])
def test_a_truncated_file_is_named_with_its_first_tensor_that_is_not_all_there(folder, share, sharded):
    file = folder / (split(folder)["lm_head.weight"] if sharded else SINGLE)
    raw = file.read_bytes()
    end = int(len(raw) * share)
    header = read_header(file)
    start = 8 + struct.unpack("<Q", raw[:8])[0]
    file.write_bytes(raw[:end])
    if end < start:
        return refused(folder, file.name, "", "must hold its header; it ends after")
    first = min((entry["data_offsets"], name) for name, entry in header.items()
                if start + entry["data_offsets"][1] > end)[1]  # fmt: skip
    refused(folder, file.name, f"tensor {first}", rf"must end at byte \d+; the file ends at byte {end}")


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """The bytes of a small safetensors file, and a place to write others."""
    place = tmp_path_factory.mktemp("small") / SINGLE
    tensors = {"a": torch.ones(2, 3), "b.weight": torch.zeros(4, dtype=torch.bfloat16), "none": torch.ones(0, 5),
               "c": torch.ones((), dtype=torch.int64)}  # fmt: skip
    save_file(tensors, place, metadata={"format": "pt"})
    return place.read_bytes(), place


def agree(place):
    """`read_header` refuses what the library refuses; it reads what the library reads."""
    try:
        with safe_open(place, "pt") as content:
            theirs = set(content.keys())
    except (SafetensorError, OSError):
        with pytest.raises(InputError):
            read_header(place)
    else:
        assert set(read_header(place)) == theirs


@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_a_damaged_header_is_read_or_refused_by_file(small, data):
    raw, place = small
    raw = bytearray(raw)
    for _ in range(data.draw(st.integers(1, 3))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    place.write_bytes(raw)
    message = ""
    try:
        read_header(place)
    except InputError as error:
        message = str(error)
    assert not message or (message.startswith(str(place)) and "\n" not in message)


@pytest.mark.parametrize("kind", ["F62", "{32", "f32"])
def test_an_unknown_type_is_refused_by_file(folder, kind):
    file = folder / SINGLE
    file.write_bytes(file.read_bytes().replace(b'"F32"', f'"{kind}"'.encode(), 1))
    refused(folder, SINGLE, "", "must be a file that the library safetensors opens")


@pytest.mark.parametrize("end", [*range(0, 60, 5), *range(-40, 0, 3)])
def test_every_truncation_is_refused(small, end):
    raw, place = small
    place.write_bytes(raw[:end])
    agree(place)


@pytest.mark.parametrize(
    ("header", "rule"),
    [
        ([], "header of a safetensors file"),
        ({"a": None}, "header of a safetensors file"),
        ({"a": {}}, "header of a safetensors file"),
        ({"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, float("inf")]}}, "header of a safetensors file"),
        ({"a": {"dtype": "F32", "shape": "x", "data_offsets": [0, 8]}}, "header of a safetensors file"),
        ({"a": {"dtype": "F32", "shape": [2], "data_offsets": [0]}}, "tensor a: must lie behind"),
        ({"a": {"dtype": "F32", "shape": [2], "data_offsets": [8, 0]}}, "tensor a: must lie behind"),
        (
            {"a": {"dtype": "F32", "shape": [2], "data_offsets": [4, 12]}},
            "tensor a: must lie behind the one before, at 0",
        ),
        (
            {"a": {"dtype": "F32", "shape": [3], "data_offsets": [0, 8]}},
            "tensor a: must have the 12 bytes of .3. in F32",
        ),
        ({"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}, "must end with its last tensor at byte"),
        ({"a": {"dtype": "F32", "shape": [9], "data_offsets": [0, 36]}}, "tensor a: must end at byte"),
    ],
)
def test_a_wrong_header_is_refused_by_its_first_tensor(tmp_path, header, rule):
    raw = json.dumps(header).encode()
    (tmp_path / SINGLE).write_bytes(struct.pack("<Q", len(raw)) + raw + bytes(12))
    with pytest.raises(InputError, match=rule):
        read_header(tmp_path / SINGLE)
    agree(tmp_path / SINGLE)


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"weight_map": 3}', '{"weight_map": {"a": null}}', "\xff"])
def test_a_damaged_index_is_refused_by_name(folder, text):
    split(folder)
    (folder / INDEX).write_text(text, encoding="latin-1")
    refused(folder, INDEX, "", "must be a JSON object with a weight_map from tensors to files")


def test_a_file_of_the_index_that_is_not_there_is_named_with_a_tensor(folder):
    places = split(folder)
    file = places["lm_head.weight"]
    (folder / file).unlink()
    first = next(name for name in json.loads((folder / INDEX).read_text())["weight_map"] if places[name] == file)
    refused(folder, file, f"tensor {first}", f"must be there, as {INDEX} says; there is no such file")


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"model_type": "nothing"}', '{"model_type": 3}', "null"])
def test_a_damaged_configuration_is_refused_by_name(folder, text):
    (folder / "config.json").write_text(text)
    refused(folder, "config.json", "", "must be a configuration that transformers reads")


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"model": null}', "null", "\xff\xfe", '{"added_tokens": []}'])
def test_a_damaged_tokenizer_is_refused_by_name(folder, text):
    (folder / "tokenizer.json").write_text(text, encoding="latin-1")
    refused(folder, "tokenizer.json", "", "must be a tokenizer that transformers reads")


def test_a_truncated_tokenizer_is_refused_by_name(folder):
    raw = (folder / "tokenizer.json").read_bytes()
    for share in (0.1, 0.5, 0.99):
        (folder / "tokenizer.json").write_bytes(raw[: int(len(raw) * share)])
        refused(folder, "tokenizer.json", "", "must be a tokenizer that transformers reads")


def test_an_empty_tokenizer_is_refused(folder):
    file = folder / "tokenizer.json"
    raw = json.loads(file.read_text())
    raw["model"] |= {"vocab": {}, "merges": []}
    file.write_text(json.dumps(raw))
    refused(folder, "tokenizer.json", "", "must have tokens; the tokenizer has none but special ones")


@pytest.mark.parametrize(
    "name", ["LlamaTokenizer", "GPT2Tokenizer", "BertTokenizer", "Qwen2Tokenizer", "GemmaTokenizer"]
)
def test_the_empty_tokenizer_of_a_class_without_its_files_is_refused(folder, name):
    (folder / "tokenizer.json").unlink()
    (folder / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": name}))
    with pytest.raises(InputError, match="model: must have tokens; the tokenizer has none but special ones"):
        load_tokenizer(folder)


@pytest.mark.parametrize("rows", [10, 100, 300])
def test_a_tokenizer_with_ids_beyond_the_embedding_is_refused(folder, rows):
    change_weights(folder, lambda weights: weights.update(
        {name: weights[name][:rows].clone() for name in ("lm_head.weight", "model.embed_tokens.weight")}
    ))  # fmt: skip
    configure(folder, vocab_size=rows)
    refused(
        folder, "tokenizer.json", "", rf"must have ids below {rows}, the number of rows of the model's embedding; got"
    )


def test_added_tokens_may_lie_beyond_the_embedding(folder):
    """As the image token of the text models of Gemma 3 does."""
    tokenizer = load_tokenizer(folder)
    rows = len(tokenizer)
    tokenizer.add_tokens(["<image_soft_token>"], special_tokens=True)
    tokenizer.save_pretrained(folder)
    model, found = load_model(folder)
    assert len(found) == rows + 1 > model.get_input_embeddings().num_embeddings


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda model: change_weights(model, lambda weights: weights.pop("model.layers.2.mlp.down_proj.weight")),
         "tensor model.layers.2.mlp.down_proj.weight: must be in the file"),
        (lambda model: (model / SINGLE).write_bytes((model / SINGLE).read_bytes()[:50_000]), "must end at byte"),
        (lambda model: configure(model, vocab_size=700), "must have the shape [700, 32]"),
        (lambda model: (model / "tokenizer.json").write_text("{}"), "tokenizer.json: must be a tokenizer"),
    ],
)  # fmt: skip
def test_the_command_line_refuses_a_damaged_model_in_one_line(folder, damage, message, tmp_path, capsys):
    words = ["en\tfr", *(f"word{n}\tmot{n}" for n in range(20))]
    (tmp_path / "words.tsv").write_text("\n".join(words))
    run = str(tmp_path / "run")
    assert main(["task", run, "--lexicon", str(tmp_path / "words.tsv"), "--pairs", "en-fr", "--limit", "2"]) == 0
    damage(folder)
    capsys.readouterr()
    assert main(["score", run, "--model", str(folder)]) == 2
    captured = capsys.readouterr()
    assert captured.err.count("\n") == 1
    assert f"pivotkit: {folder}/" in captured.err
    assert message in captured.err
