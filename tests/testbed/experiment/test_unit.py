"""One unit from its world to its answers, and one of the grid, on the smallest setting."""

from __future__ import annotations

import pytest
import torch
from small_experiment import small_setting

from pivotkit.errors import BackendUnavailable
from pivotkit.testbed.experiment.arms import BEFORE
from pivotkit.testbed.experiment.experiment import grid_units, pool_units, run_experiment
from pivotkit.testbed.experiment.grid import run_grid_unit
from pivotkit.testbed.experiment.setting import ALIKE, POOLS
from pivotkit.testbed.experiment.summary import summary
from pivotkit.testbed.experiment.training import continue_on, optimizers, taken, train_base
from pivotkit.testbed.experiment.unit import run_unit

ARMS = ("pivot-aware", "parallel")


@pytest.fixture(scope="module")
def found():
    return run_unit(small_setting(), 5, ARMS)


def test_a_unit_holds_the_answers_of_every_checkpoint(found):
    assert set(found["arms"]) == {BEFORE, *ARMS}
    assert [point["step"] for point in found["arms"]["parallel"]["curve"]] == [2, 4]
    for arm in found["arms"].values():
        for point in arm["curve"]:
            assert len(point["correct"]) == len(found["items"]) == 16
            assert set(point["loss"]) == {"p", "a", "b"}
    assert sum(sum(counts.values()) for counts in found["behaviors"].values()) == 32
    assert set(found["causal"]) == {BEFORE, *ARMS}


def test_a_unit_is_the_same_again(found):
    again = run_unit(small_setting(), 5, ARMS)
    again.pop("cpu_seconds")
    assert again == {name: value for name, value in found.items() if name != "cpu_seconds"}


def test_arms_leave_the_base_as_it_is_and_are_asked_at_equal_distances(pool):
    base = train_base(pool, 5)
    before = {name: weight.clone() for name, weight in base.state_dict().items()}
    model, curve = continue_on(base, pool, pool.base, pool.setting, 5, lambda model: model.training)
    assert [step for step, _ in curve] == [2, 4]
    after = base.state_dict()
    assert all(torch.equal(weight, after[name]) for name, weight in before.items())
    assert any(not torch.equal(weight, before[name]) for name, weight in model.state_dict().items())


def test_muon_has_every_matrix_of_the_blocks_and_adamw_the_rest(pool):
    model = train_base(pool, 5)
    muon, adamw = optimizers(model, 0.02, 3e-3)
    matrices = [weight for group in muon.param_groups for weight in group["params"]]
    rest = [weight for group in adamw.param_groups for weight in group["params"]]
    assert len(matrices) == 7 * model.config.num_hidden_layers  # query, key, value, output, gate, up, down
    assert {id(weight) for weight in [*matrices, *rest]} == {id(weight) for weight in model.parameters()}
    assert len(matrices) + len(rest) == len(list(model.parameters()))


def test_a_short_selection_is_read_again_and_a_long_one_is_cut():
    texts = [[1, 2, 3], [4, 5]]
    assert sum(len(text) + 1 for text in taken(texts, 20, 0)) == 20
    assert sorted(taken(texts, 7, 0)) == sorted(texts)
    with pytest.raises(ValueError, match="taken: texts must hold tokens; got none"):
        taken([], 5, 0)


def test_a_grid_unit_has_a_cell_for_each_share_and_budget():
    found = run_grid_unit(small_setting(), 5, (0.2, 0.5), (2, 4))
    places = [(cell["share"], cell["tokens"]) for cell in found["cells"]]
    assert places == [(share, round(steps * 1024 * 0.7)) for share in (0.2, 0.5) for steps in (2, 4)]
    held = [cell["arms"]["bilingual"]["facts"]["with P"] for cell in found["cells"]]
    assert 0.1 < held[0] < 0.3 < 0.4 < held[2] < 0.6
    [row, *_] = summary({}, [found])["grid"]
    assert row["share"] == 0.2
    assert row["pivot"]["gain"]["seeds"] == 1


def test_the_units_alternate_between_the_pools_and_are_all_different():
    units = pool_units() + grid_units()
    assert [unit.pool for unit in units[:2]] == list(POOLS)
    assert (
        len({unit.file for unit in units})
        == len({unit.digest for unit in units})
        == len(units)
        == 16 + len(grid_units())
    )
    assert [unit.seed for unit in pool_units(1)] == [units[0].seed, units[1].seed]
    assert units[0].setting == POOLS[ALIKE]


def test_without_muon_the_experiment_says_so(tmp_path, monkeypatch):
    monkeypatch.delattr(torch.optim, "Muon")
    with pytest.raises(BackendUnavailable, match=r"experiment: torch must have torch\.optim\.Muon .* got torch 2"):
        run_experiment(tmp_path)
    assert not list(tmp_path.iterdir())
