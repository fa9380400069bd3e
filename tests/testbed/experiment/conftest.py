"""Small pools of both kinds, which the experiment's tests share."""

from __future__ import annotations

import pytest
from small_experiment import small_setting

from pivotkit.testbed.experiment.pool import Pool, make_pool
from pivotkit.testbed.experiment.setting import POOLS


@pytest.fixture(scope="session", params=POOLS)
def pool(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Pool:
    """A pool of each kind; tests must not change it."""
    return make_pool(small_setting(request.param), 5, tmp_path_factory.mktemp("pool"))
