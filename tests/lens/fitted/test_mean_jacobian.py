"""Jacobians of every family of models."""

from __future__ import annotations

import torch

from pivotkit.lens.fitted.mean_jacobian import mean_jacobian


def test_every_family_has_a_jacobian_that_does_not_depend_on_what_runs_together(family, family_head):
    random = torch.Generator().manual_seed(0)
    prompts = [tuple(torch.randint(2, 60, (length,), generator=random).tolist()) for length in (20, 18)]
    done = []
    one = mean_jacobian(family_head, prompts, 1, done.append)
    together = mean_jacobian(family_head, prompts, 100, done.append)
    assert done == [1, 2, 1, 2]
    assert len(one) == len(family_head.blocks)
    for first, second in zip(one, together, strict=True):
        size = float(first.abs().max())
        assert first.isfinite().all()
        assert size > 0
        torch.testing.assert_close(first, second, atol=1e-3 * size, rtol=1e-3)
