"""Pictures to train on, in memory, and the batches that are drawn from them.

What ends in `_source` leaves its pictures where they are until asked for.
"""

from experiments.data.batches import (
  Arrays,
  Drawing,
  Resident,
  Rows,
  Source,
  batch,
  conditions,
  indices,
  mirrored,
  to_float,
  to_uint8,
)
from experiments.data.clips import ANIMATIONS, Clips, clips
from experiments.data.contents import contents
from experiments.data.csv_files import Table, csv_bytes, digest, read_csv
from experiments.data.digits import digits
from experiments.data.folder import SUFFIXES, folder, folder_source
from experiments.data.levels import (
  ALL_LEVELS,
  Levels,
  stretched,
  to_pixels,
  to_uint16,
)
from experiments.data.matched import matched
from experiments.data.moving_digits import MovingDigits
from experiments.data.npz import npz_source
from experiments.data.pairs import openmoji, paired_folder, parted, pictures
from experiments.data.series import Label, Numbers, Windows, read_numbers
from experiments.data.spoken import spoken_digits
from experiments.data.stacked import stacked
from experiments.data.text import UNKNOWN, Corpus, read_texts
from experiments.data.tfds import tfds_images, tfds_source
from experiments.data.transactions import transactions
from experiments.data.unpaired import Unpaired
from experiments.data.wav import consecutive, loudest, to_int16, wavs

__all__ = [
  'ALL_LEVELS',
  'ANIMATIONS',
  'SUFFIXES',
  'UNKNOWN',
  'Arrays',
  'Clips',
  'Corpus',
  'Drawing',
  'Label',
  'Levels',
  'MovingDigits',
  'Numbers',
  'Resident',
  'Rows',
  'Source',
  'Table',
  'Unpaired',
  'Windows',
  'batch',
  'clips',
  'conditions',
  'consecutive',
  'contents',
  'csv_bytes',
  'digest',
  'digits',
  'folder',
  'folder_source',
  'indices',
  'loudest',
  'matched',
  'mirrored',
  'npz_source',
  'openmoji',
  'paired_folder',
  'parted',
  'pictures',
  'read_csv',
  'read_numbers',
  'read_texts',
  'spoken_digits',
  'stacked',
  'stretched',
  'tfds_images',
  'tfds_source',
  'to_float',
  'to_int16',
  'to_pixels',
  'to_uint8',
  'to_uint16',
  'transactions',
  'wavs',
]
