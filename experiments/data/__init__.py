"""Pictures to train on, in memory, and the batches that are drawn from them.

What ends in `_source` leaves its pictures where they are until asked for.
"""

from experiments.data.batches import (
  Arrays,
  Rows,
  Source,
  batch,
  conditions,
  indices,
  mirrored,
  to_float,
  to_uint8,
)
from experiments.data.digits import digits
from experiments.data.folder import SUFFIXES, folder, folder_source
from experiments.data.npz import npz_source
from experiments.data.stacked import stacked
from experiments.data.tfds import tfds_images, tfds_source

__all__ = [
  'SUFFIXES',
  'Arrays',
  'Rows',
  'Source',
  'batch',
  'conditions',
  'digits',
  'folder',
  'folder_source',
  'indices',
  'mirrored',
  'npz_source',
  'stacked',
  'tfds_images',
  'tfds_source',
  'to_float',
  'to_uint8',
]
