"""Lenses that are fitted: their one affine form, their files, and the fit."""

from pathlib import Path

from pivotkit.lens.fitted.affine import AffineLens
from pivotkit.lens.fitted.fit import fit_lens
from pivotkit.lens.fitted.jacobian import JacobianLens
from pivotkit.lens.fitted.tuned import TunedLens
from pivotkit.lens.model.parts import ModelParts

__all__ = ["AffineLens", "JacobianLens", "TunedLens", "fit_lens", "load_lens"]


def load_lens(path: str | Path, head: ModelParts | None = None) -> AffineLens:
    """Read a fitted lens: a tuned-lens folder, or a Jacobian lens's file.

    Parameters
    ----------
    path : str or Path
        A folder is read by `TunedLens.load`, anything else by `JacobianLens.load`.
    head : LensHead, optional
        The head of the model to be traced; a lens of another model is refused.

    Returns
    -------
    TunedLens or JacobianLens

    Raises
    ------
    InputError, ValueError
        As these do.
    """
    path = Path(path)
    return JacobianLens.load(path, head) if path.is_file() else TunedLens.load(path, head)
