"""What every score asks of its arrays, and the errors that say so."""

import jax
import numpy as np
from jaxtyping import Real

Array = jax.Array | np.ndarray
Features = Real[Array, '_ _']  # a row for each sample
Images = Real[Array, '_ _ _ _']  # [n, height, width, channels]


def features(who: str, **arrays: Array) -> tuple[np.ndarray, ...]:
  """The named features as numpy arrays, after the checks.

  Args:
    who: the function that speaks in the errors.
    **arrays: `[n, d]` by name, d the same for all.

  Raises:
    ValueError: one is not a matrix, has no rows, holds NaN or infinity, or
      their dimensions differ.
  """
  checked = {name: np.asarray(array) for name, array in arrays.items()}
  for name, array in checked.items():
    if array.ndim != 2 or 0 in array.shape:
      raise ValueError(
        f'{who}: {name} needs the shape [n, d], a row of features for each '
        f'sample, got {list(array.shape)}.'
      )
    finite(who, name, array)
  same_dimension(who, **{n: array.shape[1] for n, array in checked.items()})
  return tuple(checked.values())


def same_dimension(who: str, **dimensions: int) -> None:
  """ValueError: the features have different dimensions."""
  if len(set(dimensions.values())) > 1:
    found = ', '.join(f'{name} has {d}' for name, d in dimensions.items())
    raise ValueError(
      f'{who}: the features need one dimension, but {found}. Take all of them '
      'from one extractor.'
    )


def finite(who: str, name: str, array: np.ndarray) -> None:
  """ValueError: the array holds NaN or infinity."""
  # A sum is finite where its terms are, and needs no array of flags.
  with np.errstate(invalid='ignore'):
    total = array.sum(dtype=np.float64)
  if not np.isfinite(total):
    raise ValueError(f'{who}: {name} holds NaN or infinity.')


def enough(who: str, name: str, count: int, needed: int, why: str) -> None:
  """ValueError: there are fewer samples than are needed."""
  if count < needed:
    raise ValueError(
      f'{who}: {name} needs at least {needed} samples ({why}), got {count}.'
    )
