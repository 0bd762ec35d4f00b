"""Any number of samples from a trained GAN, in chunks of one size."""

import functools
from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import PyTree

import jgan
from experiments import data
from experiments.errors import UserError

_CHUNK = 100  # samples made at a time


class Sampler(NamedTuple):
  """A trained GAN that makes samples when called; see `load`.

  Attributes:
    gan: the game.
    state: its state.
    num_classes: of its labels; 0 without.
    make_conditions: the experiment's own: makes the batch that asks for so
      many samples, at most as many as it has inputs for.
  """

  gan: jgan.GAN
  state: jgan.TrainState
  num_classes: int = 0
  make_conditions: Callable[[int], jgan.Batch] | None = None

  def __call__(
    self, count: int, seed: int = 0, label: int | Sequence[int] | None = None
  ) -> PyTree:
    """Makes `count` samples; number i depends on the seed and i alone.

    Args:
      count: how many, at least 1.
      seed: decides them.
      label: the class of all, or several in turn; None for all in turn.

    Returns:
      Samples `[count, ...]`, one array or several; pictures are float32 in
      [-1, 1].

    Raises:
      UserError: count or label are out of range, or there are no classes.
    """
    return self.make(self.conditions(count, label), seed)

  def make(self, conditions: jgan.Batch, seed: int = 0) -> PyTree:
    """Makes the samples that entries of `conditions` ask for, at least 1."""
    count = len(conditions['index'])
    key = jax.random.key(seed)
    # Whole chunks, so that one compiled program serves all.
    chunks = [
      jax.tree.map(lambda x, i=start: _chunk(x, i), conditions)
      for start in range(0, count, _CHUNK)
    ]
    made = [jgan.sample(self.gan, self.state, chunk, key) for chunk in chunks]
    return jax.tree.map(lambda *parts: np.concatenate(parts)[:count], *made)

  def conditions(
    self, count: int, label: int | Sequence[int] | None = None
  ) -> jgan.Batch:
    """What asks for samples: their numbers, and labels or inputs if any."""
    if count < 1:
      raise UserError(f'--count must be 1 or more, got {count}')
    chosen = [] if label is None else np.atleast_1d(label).tolist()
    if chosen and not self.num_classes:
      raise UserError(
        f'--label={chosen[0]} needs a model with classes; this one was trained '
        'without labels'
      )
    wrong = [x for x in chosen if x not in range(self.num_classes)]
    if wrong:
      raise UserError(
        f'--label={wrong[0]} is no class of this model, whose labels are from '
        f'0 to {self.num_classes - 1}'
      )
    if self.make_conditions is not None and not chosen:
      return data.to_float(self.make_conditions(count))
    return data.conditions(count, self.num_classes, chosen or None)


def of(
  experiment: ModuleType, config: Any, gan: jgan.GAN, state: jgan.TrainState
) -> Sampler:
  """What samples from a state of a run, as its experiment asks for samples."""
  own = getattr(experiment, 'make_conditions', None)
  return Sampler(
    gan,
    state,
    num_classes=getattr(config, 'num_classes', 0),
    make_conditions=own and functools.partial(own, config),
  )


class Samples:
  """A source of samples, which are made each time they are asked for.

  Args:
    generate: makes them.
    count: how many there are.
    seed: decides them; their labels, where there are classes, come in turn.
  """

  def __init__(self, generate: Sampler, count: int, seed: int = 0):
    self._generate, self._seed = generate, seed
    self._conditions = generate.conditions(count)

  def __len__(self) -> int:
    return len(self._conditions['index'])

  def __getitem__(self, indices: np.ndarray) -> dict[str, np.ndarray]:
    asked = {name: x[indices] for name, x in self._conditions.items()}
    image = data.to_uint8(self._generate.make(asked, self._seed))
    label = {'label': asked['label']} if 'label' in asked else {}
    return {'image': image} | label


def _chunk(x: np.ndarray, start: int) -> np.ndarray:
  """Entries from `start` on, the last repeated to make up a chunk."""
  part = x[start : start + _CHUNK]
  room = [(0, _CHUNK - len(part)), *[(0, 0)] * (part.ndim - 1)]
  return np.pad(part, room, mode='edge')
