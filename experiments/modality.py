"""What the examples of an experiment are: how a run shows and keeps them.

Pictures, unless the experiment's file has a `make_modality(config)`. The loop,
the sampling and their files are the same for all.
"""

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import PyTree

import jgan
from experiments import data, pictures
from experiments.files import write_bytes


class Shown(NamedTuple):
  """Examples as a person takes them in.

  Attributes:
    picture: all of them, uint8 `[height, width, 1 or 3]`.
    files: what else there is to see or to hear, by the end of its name, such
      as '.wav'.
  """

  picture: np.ndarray
  files: Mapping[str, bytes] = {}


class Modality(NamedTuple):
  """What examples are. Functions take numpy arrays.

  Attributes:
    unit: what an example is called, in the plural.
    count: how many a run shows.
    reals: shows a batch of the data, as its source gives it.
    samples: shows samples beside the conditions that asked for them.
    suffix: of a file of one sample, such as '.png'.
    encode: one sample as the content of such a file.
    arrays: samples as named arrays, for an npz.
  """

  unit: str
  count: int
  reals: Callable[[jgan.Batch], Shown]
  samples: Callable[[PyTree, jgan.Batch], Shown]
  suffix: str
  encode: Callable[[PyTree], bytes]
  arrays: Callable[[PyTree], dict[str, np.ndarray]]


def of(experiment: Any, config: Any, batch: jgan.Batch) -> Modality:
  """The experiment's own modality, or pictures, with a class to a column.

  Args:
    experiment: its module.
    config: its numbers. With `levels`, pictures of 16 bits return to these.
    batch: of its data, or the batch's form. Where pictures are uint16 there,
      files of samples have 16 bits.
  """
  if make := getattr(experiment, 'make_modality', None):
    return make(config)
  levels = None
  if batch['image'].dtype == np.uint16:
    levels = getattr(config, 'levels', None) or data.ALL_LEVELS
  return images(getattr(config, 'num_classes', 0), levels)


def images(num_classes: int = 0, levels: data.Levels | None = None) -> Modality:
  """Pictures in [-1, 1] on a grid.

  Args:
    num_classes: so many come in turn, to a row.
    levels: of 16-bit files, black and white; None for files of 8 bits. Grids
      have 8 bits, from the same black to the same white.
  """

  def samples(made, conditions):
    columns = _columns(len(made), conditions.get('label'), num_classes)
    return Shown(pictures.grid(made, columns))

  return Modality(
    unit='images',
    count=80,  # eight of each of ten classes
    reals=lambda batch: Shown(pictures.grid(batch['image'])),
    samples=samples,
    suffix='.png',
    encode=lambda one: pictures.png(data.to_pixels(one, levels)),
    arrays=lambda made: {'image': data.to_pixels(made, levels)},
  )


def _columns(count, labels, num_classes):
  """Pictures in a row, such that with classes in turn a column is a class."""
  if labels is None:
    return None
  all_in_turn = np.arange(count) % num_classes
  some = len(np.unique(labels))
  period = num_classes if np.array_equal(labels, all_in_turn) else some
  return period * max(round(math.sqrt(count) / period), 1)


def save(path: Path, shown: Shown) -> None:
  """Writes what is shown: `path`, a PNG, and the files beside it."""
  pictures.save_png(path, shown.picture)
  for end, content in shown.files.items():
    write_bytes(path.with_name(path.stem + end), content)
