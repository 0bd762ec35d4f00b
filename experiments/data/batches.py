"""Batch number `step` of a run, as a pure function of the seed and the step.

A source has random access, so no batch needs the batches before it: there is
no iterator to save, and a resumed run sees what an unbroken one would have.
"""

import abc
import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike as Array
from jaxtyping import PyTree

ALL = slice(None)


class Source(Protocol):
  """Examples with random access."""

  def __len__(self) -> int:
    """Returns the number of examples."""
    ...

  def __getitem__(self, indices: np.ndarray) -> dict[str, np.ndarray]:
    """Returns the examples at these positions, stacked along axis 0."""
    ...


class Drawing(Source, Protocol):
  """A source that decides by itself which examples a batch holds.

  For examples that are drawn otherwise than epoch by epoch, such as rare ones
  more often, or each by chance.
  """

  def draw(
    self, seed: int, step: int, batch_size: int
  ) -> dict[str, np.ndarray]:
    """Returns the examples of batch number `step`: a pure function of these."""
    ...


class Resident(abc.ABC):
  """A source whose examples are a traceable function of arrays in memory.

  So the arrays may lie on a device, and a compiled program takes its batches
  from them there.

  Attributes:
    arrays: a tree of arrays.
  """

  arrays: PyTree

  @abc.abstractmethod
  def take(self, arrays: PyTree, indices: Array) -> dict[str, Array]:
    """Returns the examples at these positions, stacked along axis 0.

    Args:
      arrays: `self.arrays`, of numpy or of jax.
      indices: positions [n], likewise.
    """

  def __getitem__(self, indices: np.ndarray) -> dict[str, np.ndarray]:
    return self.take(self.arrays, indices)


class Arrays(Resident):
  """A source in memory: arrays whose leading axis is the examples.

  Args:
    arrays: the arrays by name, such as 'image' and 'label'.

  Raises:
    ValueError: there are no examples, or the arrays differ in length.
  """

  def __init__(self, arrays: Mapping[str, np.ndarray]):
    lengths = {name: len(array) for name, array in arrays.items()}
    if len(set(lengths.values())) != 1 or 0 in lengths.values():
      raise ValueError(
        'Arrays: needs at least one example, and as many in one array as in '
        f'another, not {lengths}.'
      )
    self.arrays = dict(arrays)

  def __len__(self) -> int:
    return len(next(iter(self.arrays.values())))

  def take(self, arrays, indices):
    return {name: array[indices] for name, array in arrays.items()}


class Rows:
  """Some examples of a source, which stay where they are until asked for.

  Args:
    source: where they are.
    rows: their positions there, int `[n]`, in the order wanted.
  """

  def __init__(self, source: Source, rows: np.ndarray):
    self.source, self.rows = source, rows

  def __len__(self) -> int:
    return len(self.rows)

  def __getitem__(self, indices: np.ndarray) -> dict[str, np.ndarray]:
    return self.source[self.rows[indices]]


class _Mirrored:
  """The examples of a source, then the same with their pictures mirrored."""

  def __init__(self, source: Source, names: Sequence[str]):
    self.source, self.names = source, names

  def __len__(self) -> int:
    return 2 * len(self.source)

  def __getitem__(self, indices: np.ndarray) -> dict[str, np.ndarray]:
    return self.mirror(self.source.__getitem__, indices)

  def mirror(self, examples_at, indices):
    flipped, positions = divmod(indices, len(self.source))
    examples = examples_at(positions)
    flipped = flipped.astype(bool)[:, None, None, None]

    def turned(image):
      where = image.__array_namespace__().where
      return where(flipped, image[:, :, ::-1], image)

    return {**examples, **{name: turned(examples[name]) for name in self.names}}


class _MirroredResident(_Mirrored, Resident):
  """The same of a source that may lie on a device."""

  def __init__(self, source: Resident, names: Sequence[str]):
    super().__init__(source, names)
    self.arrays = source.arrays

  def take(self, arrays, indices):
    return self.mirror(functools.partial(self.source.take, arrays), indices)


def mirrored(source: Source, names: Sequence[str] = ('image',)) -> Source:
  """Returns a source of twice the length, with every picture also mirrored.

  Mirror images are examples of their own rather than drawn at random, so that
  the order of the data stays a pure function of the seed and the step.

  Args:
    source: where the examples are.
    names: of their pictures [N, height, width, channels].

  Returns:
    A source where example `len(source) + i` is example `i` with its pictures
    flipped left to right.
  """
  kind = _MirroredResident if isinstance(source, Resident) else _Mirrored
  return kind(source, tuple(names))


@functools.lru_cache(maxsize=64)  # several runs may be trained together
def _permutations(seed: int, size: int) -> Callable[[int], np.ndarray]:
  """The order of the examples in an epoch, by its number."""

  # A batch straddles two epochs as a rule; one more serves a second reader.
  @functools.lru_cache(maxsize=4)
  def permutation(epoch):
    return np.random.default_rng([seed, epoch]).permutation(size)

  return permutation


def indices(seed: int, step: int, batch_size: int, size: int) -> np.ndarray:
  """Returns the positions in the source of batch number `step`.

  The run walks through an endless sequence of permutations, one for each epoch,
  batch by batch; a batch may straddle epochs and may be larger than one.

  Args:
    seed: the run's seed, at least 0.
    step: number of the batch, from 0.
    batch_size: number of examples in each batch of the run.
    size: number of examples in the source.

  Returns:
    Positions, int64 [batch_size]. A pure function of the arguments.

  Raises:
    ValueError: an argument is negative, or a size is 0.
  """
  seed, step, batch_size, size = map(int, (seed, step, batch_size, size))
  if min(seed, step) < 0 or min(batch_size, size) < 1:
    raise ValueError(
      'indices: needs seed and step of at least 0, batch_size and size of at '
      f'least 1, not {seed=}, {step=}, {batch_size=}, {size=}.'
    )
  start, stop = step * batch_size, (step + 1) * batch_size
  epochs = range(start // size, (stop - 1) // size + 1)
  permutation = _permutations(seed, size)
  return np.concatenate(
    [permutation(e)[max(start - e * size, 0) : stop - e * size] for e in epochs]
  )


def batch(
  source: Source,
  seed: int,
  step: int,
  batch_size: int,
  rows: slice = ALL,
) -> dict[str, np.ndarray]:
  """Returns batch number `step` of a run.

  Args:
    source: where the examples are. A `Drawing` draws them itself.
    seed: the run's seed, at least 0.
    step: number of the batch, from 0.
    batch_size: number of examples in it.
    rows: those to return, all by default. Of a `Drawing` all are made.

  Returns:
    The stacked examples, and 'index', int32 [batch_size]: the number of each
    example in the global batch, by which its randomness is keyed.
  """
  number = np.arange(batch_size, dtype=np.int32)[rows]
  if hasattr(source, 'draw'):
    drawn = source.draw(seed, step, batch_size)
    return {**{name: x[rows] for name, x in drawn.items()}, 'index': number}
  positions = indices(seed, step, batch_size, len(source))[rows]
  return {**source[positions], 'index': number}


def conditions(
  count: int, num_classes: int = 0, label: int | Sequence[int] | None = None
) -> dict[str, np.ndarray]:
  """Returns the batch that asks for `count` samples.

  Args:
    count: number of samples.
    num_classes: of a model with labels; 0 for one without.
    label: the class of all samples, or several in turn; None for all in turn.

  Returns:
    'index', int32 [count], and with classes 'label', int32 [count].
  """
  index = np.arange(count, dtype=np.int32)
  if not num_classes:
    return {'index': index}
  chosen = range(num_classes) if label is None else label
  return {'index': index, 'label': np.resize(np.int32(chosen), count)}


# What an integer array of a batch holds: levels of grey, or sound.
_RANGES = {
  jnp.uint8: lambda x: x / 127.5 - 1,
  jnp.uint16: lambda x: x / 32767.5 - 1,
  jnp.int16: lambda x: x / 32768,
}


def to_float(batch: Mapping) -> dict:
  """Returns the batch with pictures and sound as float32 in [-1, 1].

  uint8 and uint16 are levels from black to white, int16 is sound as in a wav
  file. Traceable by JAX: inside the compiled step it is free, and a quarter or
  half of the bytes travels to the device. All else, such as int32 labels, is
  returned as it is.
  """

  def convert(x):
    scale = next((f for t, f in _RANGES.items() if x.dtype == t), None)
    return x if scale is None else scale(jnp.asarray(x, jnp.float32))

  return {name: convert(x) for name, x in batch.items()}


def to_uint8(images: np.ndarray) -> np.ndarray:
  """Returns pictures as uint8, rounded.

  Args:
    images: floats in [-1, 1], where what is outside is clipped; or uint16; or
      uint8, which stay as they are.
  """
  images = np.asarray(images)
  if images.dtype == np.uint8:
    return images
  if images.dtype == np.uint16:
    return np.rint(images / np.float32(257)).astype(np.uint8)
  scaled = (images.astype(np.float32) + 1) * 127.5
  return np.clip(np.rint(scaled), 0, 255).astype(np.uint8)
