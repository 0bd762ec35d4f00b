"""Any number of samples from a trained GAN, in chunks of one size."""

from typing import NamedTuple

import jax
import numpy as np

import jgan
from experiments import data
from experiments.errors import UserError

_CHUNK = 100  # samples made at a time


class Sampler(NamedTuple):
  """A trained GAN that makes samples when called; see `load`."""

  gan: jgan.GAN
  state: jgan.TrainState
  num_classes: int

  def __call__(
    self, count: int, seed: int = 0, label: int | None = None
  ) -> np.ndarray:
    """Makes `count` samples; number i depends on the seed and i alone.

    Args:
      count: how many, at least 1.
      seed: decides them.
      label: the class of all; None for each class in turn.

    Returns:
      Samples `[count, ...]`; pictures are float32 in [-1, 1].

    Raises:
      UserError: count or label are out of range.
    """
    conditions = self.conditions(count, label)
    key = jax.random.key(seed)
    # Whole chunks, so that one compiled program serves all.
    chunks = [
      jax.tree.map(lambda x, i=start: _chunk(x, i), conditions)
      for start in range(0, count, _CHUNK)
    ]
    made = [jgan.sample(self.gan, self.state, chunk, key) for chunk in chunks]
    return np.concatenate(made)[:count]

  def conditions(self, count: int, label: int | None = None) -> jgan.Batch:
    """The numbers of the samples, and their labels where there are classes."""
    if count < 1:
      raise UserError(f'--count must be 1 or more, got {count}')
    if label is not None and label not in range(self.num_classes):
      limit = f'from 0 to {self.num_classes - 1}'
      raise UserError(
        f'--label={label} is no class of this model, whose labels are '
        f'{limit if self.num_classes else "none"}'
      )
    return data.conditions(count, self.num_classes, label)


def _chunk(x: np.ndarray, start: int) -> np.ndarray:
  """Entries from `start` on, the last repeated to make up a chunk."""
  part = x[start : start + _CHUNK]
  return np.pad(part, (0, _CHUNK - len(part)), mode='edge')
