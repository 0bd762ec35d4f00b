"""Stacked MNIST: three digits as the colours of a picture, a thousand modes."""

import functools

import numpy as np

from experiments.data.batches import Resident, Source


class _Stacked:
  """Examples whose channels are those of others, by position."""

  def __init__(self, source: Source, positions: np.ndarray):
    self.source, self.positions = source, positions

  def __len__(self) -> int:
    return len(self.positions)

  def __getitem__(self, indices: np.ndarray) -> dict[str, np.ndarray]:
    return _stack(map(self.source.__getitem__, self.positions[indices].T))


class _StackedResident(_Stacked, Resident):
  """The same of digits that may lie on a device."""

  def __init__(self, source: Resident, positions: np.ndarray):
    super().__init__(source, positions)
    self.arrays = {'digits': source.arrays, 'positions': positions}

  def take(self, arrays, indices):
    take = functools.partial(self.source.take, arrays['digits'])
    return _stack(map(take, arrays['positions'][indices].T))


def _stack(digits):
  digits = list(digits)
  images = [digit['image'] for digit in digits]
  red, green, blue = (digit['label'] for digit in digits)
  return {
    'image': images[0].__array_namespace__().concat(images, axis=-1),
    'label': 100 * red + 10 * green + blue,
  }


def stacked(source: Source, size: int = 128_000, seed: int = 0) -> Source:
  """Returns a source of colour pictures whose channels are random digits.

  Pictures are put together when they are asked for. Which digits example i has
  depends on the seed and i alone.

  Args:
    source: digits, 'image' [N, height, width, 1] and 'label' from 0 to 9.
    size: number of examples; PacGAN's published code takes 128,000.
    seed: decides which digits come together.

  Returns:
    'image' [size, height, width, 3], and 'label', 100 red + 10 green + blue.

  Raises:
    ValueError: `source` has other pictures, or no labels.

  References:
    Metz et al., Unrolled GAN, 2016, section 3.3.1
    (https://arxiv.org/abs/1611.02163); Lin et al., PacGAN, 2018, section 4.2
    (https://arxiv.org/abs/1712.04086).
  """
  first = source[np.arange(1)]
  if 'label' not in first or first['image'].shape[-1] != 1:
    form = {name: list(array.shape[1:]) for name, array in first.items()}
    raise ValueError(
      "stacked: needs grey digits, 'image' [height, width, 1] with a 'label', "
      f'got {form}.'
    )
  positions = np.random.default_rng(seed).integers(len(source), size=(size, 3))
  kind = _StackedResident if isinstance(source, Resident) else _Stacked
  return kind(source, positions.astype(np.int32))
