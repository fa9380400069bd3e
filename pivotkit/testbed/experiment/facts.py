"""What a selection is made of."""

from __future__ import annotations

import numpy as np

from pivotkit.testbed.experiment.pool import Documents, Pool


def facts(pool: Pool, documents: Documents) -> dict[str, float]:
    """Numbers of documents and tokens; shares of documents of A with B and of A or B with P; share of pivot tokens."""
    languages = ["".join(sorted({pool.world.vocabulary[token][0] for token in ids} & set("abp"))) for ids in documents]
    tokens = np.concatenate(documents)
    return {
        "documents": len(documents),
        "tokens": len(tokens),
        "parallel": languages.count("ab") / len(documents),
        "with P": sum(held in ("ap", "bp") for held in languages) / len(documents),
        "pivot tokens": float(np.isin(tokens, pool.pivots["token_id"].to_numpy()).mean()),
    }
