"""Pictures to train on, in memory, and the batches that are drawn from them."""

from experiments.data.batches import (
  Arrays,
  Source,
  batch,
  conditions,
  indices,
  mirrored,
  to_float,
  to_uint8,
)
from experiments.data.digits import digits
from experiments.data.folder import SUFFIXES, folder
from experiments.data.tfds import tfds_images

__all__ = [
  'SUFFIXES',
  'Arrays',
  'Source',
  'batch',
  'conditions',
  'digits',
  'folder',
  'indices',
  'mirrored',
  'tfds_images',
  'to_float',
  'to_uint8',
]
