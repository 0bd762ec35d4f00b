"""Pictures that somebody kept in an npz file."""

import os
import zipfile
import zlib
from pathlib import Path

import numpy as np

from experiments.data.batches import Arrays


def npz_source(path: str | os.PathLike) -> Arrays:
  """Returns the pictures of an npz file, and their labels where it has some.

  They are read from the disk as they are asked for where `numpy.savez` wrote
  the file; what `numpy.savez_compressed` wrote is held in memory.

  Args:
    path: the file. Its pictures are 'image', or else its first array.

  Returns:
    'image', uint8 or uint16 [n, height, width, channels], and 'label' [n].

  Raises:
    FileNotFoundError: there is no such file.
    ValueError: it is damaged, or holds something else.
  """
  path = Path(path)
  try:
    with zipfile.ZipFile(path) as archive:
      names = [name.removesuffix('.npy') for name in archive.namelist()]
      name = 'image' if 'image' in names else names[0]
      arrays = {'image': _array(archive, name)}
      if 'label' in names:
        arrays['label'] = _array(archive, 'label')
  except (zipfile.BadZipFile, zlib.error, IndexError, EOFError) as error:
    raise ValueError(f'{path}: no arrays of numpy, or damaged ones') from error
  images = arrays['image']
  if images.ndim != 4 or images.dtype not in (np.uint8, np.uint16):
    raise ValueError(
      f'{path}: {name} must be uint8 or uint16 [n, height, width, channels], '
      f'got {images.dtype} {list(images.shape)}'
    )
  return Arrays(arrays)


def _array(archive: zipfile.ZipFile, name: str) -> np.ndarray:
  """An array of the file, on the disk where it is there as it is."""
  member = archive.getinfo(f'{name}.npy')
  with archive.open(member) as file:
    if member.compress_type != zipfile.ZIP_STORED:
      return np.lib.format.read_array(file)
    version = np.lib.format.read_magic(file)
    read = {
      (1, 0): np.lib.format.read_array_header_1_0,
      (2, 0): np.lib.format.read_array_header_2_0,
    }[version]
    shape, fortran, dtype = read(file)
    header = file.tell()
  with open(archive.filename, 'rb') as file:
    # Before its content a member has 30 bytes, which end in the lengths of two
    # texts, and these texts.
    file.seek(member.header_offset + 26)
    texts = np.frombuffer(file.read(4), '<u2').sum(dtype=int)
  start = member.header_offset + 30 + int(texts) + header
  order = 'F' if fortran else 'C'
  return np.memmap(archive.filename, dtype, 'r', start, shape, order)
