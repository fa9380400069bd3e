"""docs/models.md says what the code does with every family of causal LMs."""

from __future__ import annotations

import os

import pytest
import transformers
from model_families import DOCUMENT, NOT_BUILT, document, documented, found
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

FULL = os.environ.get("PIVOTKIT_BENCH") == "full"
ROWS = documented()
TRIED = [row for row in ROWS if row[2] == "refused"] + [row for row in ROWS if row[2] == "described"][
    :: 1 if FULL else 8
]

pytestmark = pytest.mark.skipif(
    f"in transformers {transformers.__version__}. Each" not in DOCUMENT.read_text("utf-8"),
    reason=f"docs/models.md is of another version than transformers {transformers.__version__}",
)


def test_the_table_has_every_model_type_once():
    assert {row[0]: row[1] for row in ROWS} == dict(MODEL_FOR_CAUSAL_LM_MAPPING_NAMES)
    assert len(ROWS) == len(MODEL_FOR_CAUSAL_LM_MAPPING_NAMES)


def test_the_page_is_what_the_helper_writes_around_its_rows():
    assert DOCUMENT.read_text("utf-8") == document(ROWS)


def test_what_is_not_built_has_a_reason():
    assert {row[0] for row in ROWS if row[2] == "not built"} == set(NOT_BUILT)


@pytest.mark.parametrize("row", TRIED, ids=lambda row: row[0])
def test_a_row_is_what_the_code_does(row):
    assert found(row[0]) == row, "python tests/helpers/model_families.py writes docs/models.md anew"
