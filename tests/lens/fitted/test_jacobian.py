"""Jacobian-lens files, written here in the published layout, against the plain formula."""

from __future__ import annotations

import pickle
import re

import pyarrow.compute as pc
import pytest
import torch
from safetensors.torch import save_file

from pivotkit.artifacts import table_metadata
from pivotkit.errors import InputError
from pivotkit.lens.behavior import classify
from pivotkit.lens.contrast_means import contrast_means
from pivotkit.lens.fidelity import lens_fidelity
from pivotkit.lens.fitted import JacobianLens, TunedLens, load_lens
from pivotkit.lens.model.head import LensHead
from pivotkit.lens.trace import trace

WIDTH, BLOCKS = 32, 3  # of the tiny models


def matrices(blocks=BLOCKS - 1, width=WIDTH):
    random = torch.Generator().manual_seed(0)
    return {block: torch.randn(width, width, generator=random) for block in range(blocks)}


def published(path, found=None, **changed):
    """Write what the published files hold."""
    found = matrices() if found is None else found
    torch.save({"J": found, "n_prompts": 7, "source_layers": sorted(found), "d_model": WIDTH} | changed, path)
    return path


def hidden(layers):
    return torch.randn(layers, 5, WIDTH, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_block_b_of_a_published_file_is_layer_b_plus_1(tmp_path, dtype):
    found = {block: matrix.to(dtype) for block, matrix in matrices().items()}
    lens = JacobianLens.load(published(tmp_path / "lens.pt", found))
    states = hidden(BLOCKS)
    mapped = lens(states, [1, 2, 3])
    for layer in (1, 2):
        torch.testing.assert_close(mapped[layer - 1], states[layer - 1] @ found[layer - 1].float().T)
    assert torch.equal(mapped[2], states[2])
    assert (lens.prompts, lens.name, lens.digest, lens.biases) == (7, "Jacobian lens", None, None)


def test_a_layer_without_a_matrix_is_refused_or_raw_where_that_is_asked_for(tmp_path, llama, items, tokenizer):
    path, head = published(tmp_path / "lens.pt"), LensHead.from_model(llama)
    with pytest.raises(ValueError, match=r"^JacobianLens: layers must have a map, as \[1, 2\] have; got 0$"):
        JacobianLens.load(path, head)(hidden(1), [0])
    lens = JacobianLens.load(path, head, missing="raw")
    assert lens.lacking == ()
    states = hidden(1)
    torch.testing.assert_close(lens(states, [0]), states)
    traced, raw = trace(llama, items, tokenizer, lens=lens), trace(llama, items, tokenizer)
    rows = [[row["layer"] for row, other in zip(traced.to_pylist(), raw.to_pylist(), strict=True)
             if row["entropy"] != pytest.approx(other["entropy"], rel=1e-4)]]  # fmt: skip
    assert set(rows[0]) == {1, 2}


@pytest.mark.parametrize("chains", [False, True])
def test_a_trace_leaves_out_the_layers_that_a_published_file_lacks_and_says_so(
    tmp_path, llama, items, tokenizer, chains
):
    path = published(tmp_path / "lens.pt")
    lens, whole = JacobianLens.load(path), JacobianLens.load(path, missing="raw")
    assert lens.lacking == (0,)
    found, plain = (trace(llama, items, tokenizer, lens=one, chains=chains) for one in (lens, whole))
    assert table_metadata(found)["lacking"] == {"0": "the lens has no map for it"}
    assert "lacking" not in table_metadata(plain)
    assert set(found["layer"].to_pylist()) == {1, 2, 3}
    plain = plain.filter(pc.greater(plain["layer"], 0))
    for name in ("item", "layer", "top_ids", "target_rank", "top_logprobs", "target_chain_logprob", "top_contrasts"):
        assert found[name].to_pylist() == plain[name].to_pylist(), name
    assert classify(found, "paper").to_pylist() == classify(plain, "paper").to_pylist()
    firsts = {token for ids in found["top_ids"].to_pylist() for token in ids}
    assert {token for ids in found["tracked"].to_pylist() for token in ids} <= firsts  # none of the raw embedding's
    means = contrast_means(llama, items, tokenizer, lens=lens)
    again = trace(llama, items, tokenizer, lens=lens, contrast=means)
    assert again["top_ids"].to_pylist() == found["top_ids"].to_pylist()


def test_a_comparison_has_no_rows_for_layers_that_a_lens_lacks(tmp_path, llama, tokenizer):
    lens = JacobianLens.load(published(tmp_path / "lens.pt"))
    found = lens_fidelity(llama, lens, ["dog cat house", "chien chat maison"], tokenizer, held_out=1)
    rows = [(row["lens"], row["layer"]) for row in found.to_pylist()]
    assert rows == [("logit lens", layer) for layer in range(4)] + [("Jacobian lens", layer) for layer in (1, 2, 3)]
    alone = lens_fidelity(llama, lens, ["dog cat house", "chien chat maison"], tokenizer, held_out=1, layers=[2])
    ours = [row["kl"] for row in found.to_pylist() if row["layer"] == 2]
    assert ours == pytest.approx(alone["kl"].to_pylist())


@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
@pytest.mark.parametrize("absent", [(), (0,), (1,)])
def test_a_file_gives_back_what_was_saved(tmp_path, suffix, absent):
    weights = tuple(None if layer in absent else matrix for layer, matrix in matrices(BLOCKS).items())
    lens = JacobianLens(weights, None, "a/b", "main", "ab" * 32, "float32", {"kind": "Jacobian", "seed": 1}, 9)
    same = JacobianLens.load(lens.save(tmp_path / f"lens{suffix}"))
    for mine, theirs in zip(lens.weights, same.weights, strict=True):
        assert (mine is None and theirs is None) or torch.equal(mine, theirs)
    for name in ("model", "revision", "digest", "dtype", "fit", "prompts"):
        assert getattr(same, name) == getattr(lens, name)
    assert isinstance(load_lens(tmp_path / f"lens{suffix}"), JacobianLens)
    assert [path.name for path in tmp_path.iterdir()] == [f"lens{suffix}"]


def test_a_saved_pickle_has_the_published_layout(tmp_path):
    lens = JacobianLens(tuple(matrices(BLOCKS).values()), None, "", None, prompts=9)
    said = torch.load(lens.save(tmp_path / "lens.pt"), weights_only=True)
    assert (said["n_prompts"], said["source_layers"], said["d_model"], list(said["J"])) == (9, [0, 1], WIDTH, [0, 1])
    assert torch.equal(said["J"][0], lens.weights[1])


def test_code_in_a_file_does_not_run(tmp_path):
    marker = tmp_path / "ran"

    class Evil:
        def __reduce__(self):
            return (type(marker).touch, (marker,))

    published(tmp_path / "lens.pt", n_prompts=Evil())
    (tmp_path / "plain.pt").write_bytes(pickle.dumps(Evil()))
    for name in ("lens.pt", "plain.pt"):
        with pytest.raises(InputError, match=f"{name}: must be a checkpoint of tensors and nothing else"):
            JacobianLens.load(tmp_path / name)
    assert not marker.exists()


@pytest.mark.parametrize(
    ("found", "changed", "message"),
    [
        (None, {"d_model": 16}, "J of 0 must be floating-point (16, 16); got torch.float32 (32, 32)"),
        (None, {"d_model": 0}, "d_model must be a positive integer; got 0"),
        (None, {"n_prompts": "7"}, "n_prompts must be a positive integer; got '7'"),
        (None, {"source_layers": [0]}, "source_layers must list the blocks of J, [0, 1]; got [0]"),
        (None, {"J": {}}, "source_layers must list the blocks of J, []; got [0, 1]"),
        (None, {"J": [1]}, "J must give a matrix for each block number"),
        (None, {"J": {0: 1, 1: 2}}, "J of 0 must be floating-point (32, 32); got int"),
        ({-1: torch.eye(WIDTH)}, {}, "J must give a matrix for each block number"),
        ({0: torch.full((WIDTH, WIDTH), torch.nan)}, {}, "J of 0 must be finite; got NaN or infinity"),
        (None, {"pivotkit": {"blocks": 2}}, "must have source layers before the last of 2; got [1, 2]"),
        (None, {"pivotkit": {"model": 3}}, "model must be of the kind str; got 3"),
    ],
)
def test_a_file_that_contradicts_itself_is_refused(tmp_path, found, changed, message):
    with pytest.raises(InputError, match=re.escape(message)):
        JacobianLens.load(published(tmp_path / "lens.pt", found, **changed))


def test_what_is_no_such_file_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"^JacobianLens: path must end in \.safetensors or \.pt; got "):
        JacobianLens.load(tmp_path / "lens.npz")
    with pytest.raises(InputError, match=r"lens\.pt: must be a file of a Jacobian lens; found none"):
        JacobianLens.load(tmp_path / "lens.pt")
    torch.save({"jacobian_sum": {}, "n_done": 3}, tmp_path / "sums.pt")
    with pytest.raises(InputError, match="must hold J, n_prompts, source_layers and d_model; got jacobian_sum, n_done"):
        JacobianLens.load(tmp_path / "sums.pt")
    save_file({"J.0": torch.eye(3)}, tmp_path / "lens.safetensors")
    with pytest.raises(InputError, match="n_prompts must be a positive integer; got None"):
        JacobianLens.load(tmp_path / "lens.safetensors")
    whole = published(tmp_path / "lens.pt").read_bytes()
    (tmp_path / "half.pt").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match=r"half\.pt: must be a checkpoint of tensors"):
        JacobianLens.load(tmp_path / "half.pt")


def test_a_lens_for_another_model_is_refused(tmp_path, llama):
    head = LensHead.from_model(llama)
    path = published(tmp_path / "lens.pt", matrices(4))
    with pytest.raises(ValueError, match=r"^JacobianLens: path must be for 3 blocks of width 32; got one for 5"):
        JacobianLens.load(path, head)


def test_a_tuned_lens_with_j_minus_1_is_the_jacobian_lens(tmp_path):
    found = tuple(matrices(BLOCKS).values())
    jacobian = JacobianLens(found, None, "", None)
    tuned = TunedLens(tuple(matrix - torch.eye(WIDTH) for matrix in found), None, "", None)
    torch.testing.assert_close(jacobian(hidden(4)), tuned(hidden(4)), atol=1e-4, rtol=1e-4)
