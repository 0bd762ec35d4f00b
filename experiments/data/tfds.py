"""Picture sets that tensorflow-datasets has prepared, read without TensorFlow.

Reading takes the sets in ArrayRecord format; only preparing one may need
TensorFlow, and the error for an unprepared set has the line that does it.
"""

import difflib
import io
import math
import os

import numpy as np
from PIL import Image

from experiments.data import decode
from experiments.data.batches import Arrays

_WORTH_THREADS = 64 * 64  # pixels of a picture


def tfds_images(
  name: str,
  data_dir: str | os.PathLike | None = None,
  split: str = 'train',
  resolution: int | None = None,
) -> Arrays | decode.Decoded:
  """Returns a prepared tensorflow-datasets set, decoded in memory if it fits.

  What would take more than `decode.MAX_BYTES` is as from `tfds_source`.

  Args:
    name: the set's name there, as in 'mnist', 'cifar10' or 'name/config'.
    data_dir: folder where it was prepared; None or '' is the usual
      ~/tensorflow_datasets.
    split: what to read, as in 'train', 'test' or 'train[:10%]'.
    resolution: side in pixels; smaller pictures lie in the middle, on zeros.
      None keeps their size, which must then be one for all.

  Returns:
    'image', uint8 [N, height, width, 1 or 3], and, where the set has one for
    each picture, 'label', int32 [N].

  Raises:
    FileNotFoundError: the set is not prepared.
    ValueError: there is no such set or split, it is prepared in another format,
      has no 8-bit pictures, or they do not fit.
  """
  source = tfds_source(name, data_dir, split, resolution)
  if not decode.fits(source):
    return source
  return Arrays(decode.in_memory(f'tfds_images: {name}', source))


def tfds_source(
  name: str,
  data_dir: str | os.PathLike | None = None,
  split: str = 'train',
  resolution: int | None = None,
) -> decode.Decoded:
  """The pictures of `tfds_images`, decoded each time they are asked for.

  Raises:
    FileNotFoundError, ValueError: as from `tfds_images`, but for what can be
      known only when a picture is asked for.
  """
  who = f'tfds_images: {name}'
  # A shell leaves the ~ of --data-dir=~/sets as it is.
  data_dir = os.path.expanduser(data_dir) if data_dir else None
  source = _source(name, data_dir, split)
  channels, labelled = _features(who, source.dataset_info.features)
  shape = _pixels(who, source[0], channels, resolution).shape

  def read(rows):
    examples = source.__getitems__(rows)
    images = [_pixels(who, x, channels, resolution) for x in examples]
    for image in images:
      if image.shape != shape:
        raise ValueError(
          f'{who}: pictures of {image.shape} and {shape}, and one size is '
          'needed: give a resolution that holds them all.'
        )
    found = {'image': np.stack(images)}
    if labelled:
      found['label'] = np.array([x['label'] for x in examples], np.int32)
    return found

  threads = math.prod(shape[:2]) >= _WORTH_THREADS
  return decode.Decoded(len(source), shape, read, threads=threads)


def _pixels(who, example, channels, resolution) -> np.ndarray:
  """Returns the picture of an example, uint8 [height, width, channels]."""
  with Image.open(io.BytesIO(example['image'])) as image:
    pixels = np.array(decode.flat(image, channels))
  pixels = pixels.reshape(*pixels.shape[:2], channels)
  if resolution is None:
    return pixels
  return decode.padded(who, pixels, resolution)


def _features(who, features) -> tuple[int, bool]:
  """Returns the pictures' channels, and whether each has one label."""
  import tensorflow_datasets as tfds

  features = dict(features.items())
  image, label = features.get('image'), features.get('label')
  if not isinstance(image, tfds.features.Image) or image.np_dtype != np.uint8:
    raise ValueError(
      f"{who}: needs a feature 'image' of 8-bit pictures; it has {features}."
    )
  labelled = (
    label is not None
    and label.shape == ()
    and np.issubdtype(label.np_dtype, np.integer)
  )
  return (1 if image.shape[-1] == 1 else 3), labelled


def _source(name, data_dir, split):
  """Returns the split with random access, its pictures still encoded."""
  # Imported where it is used: it takes as long as all else together.
  import tensorflow_datasets as tfds

  builder = _builder(name, data_dir)
  if not builder.is_prepared():
    raise FileNotFoundError(
      f'tfds_images: {name} is not prepared in {builder.data_path}. '
      f'{_how_to_prepare(name, data_dir)}'
    )
  # Checked here, since of a set in parquet tfds would read half the rows.
  wanted = tfds.core.FileFormat.ARRAY_RECORD
  if wanted not in builder.info.available_file_formats():
    raise ValueError(
      f'tfds_images: {name} is prepared in {builder.data_path} as '
      f'{builder.info.file_format.value}, and {wanted.value} is needed. Delete '
      f'it or choose another data_dir. {_how_to_prepare(name, data_dir)}'
    )
  # Left to itself tfds decodes by OpenCV or Pillow, whichever is installed.
  skip = {'image': tfds.decode.SkipDecoding()}
  try:
    return builder.as_data_source(split, decoders=skip, file_format=wanted)
  except ValueError as error:
    raise ValueError(f'tfds_images: {name}: {split!r}: {error}') from error


def _builder(name, data_dir):
  """Returns the set's builder, from its code or else from its files."""
  import tensorflow_datasets as tfds

  try:
    return tfds.builder(name, data_dir=data_dir)
  except tfds.core.DatasetNotFoundError as error:
    # Community sets would be looked up in the cloud.
    known = tfds.list_builders(with_community_datasets=False)
    near = difflib.get_close_matches(name, known, n=1)
    hint = ''.join(f' Did you mean {one!r}?' for one in near)
    raise ValueError(
      f'tfds_images: tensorflow-datasets knows no set {name!r}, and '
      f'{data_dir or "~/tensorflow_datasets"} holds none of that name.{hint}'
    ) from error
  except (ValueError, AssertionError, ImportError) as error:
    # Its own words are clear: a bad version, a bad config, a module it needs.
    raise ValueError(f'tfds_images: {error}') from error


def _how_to_prepare(name, data_dir) -> str:
  where = f', data_dir={data_dir!r}' if data_dir else ''
  return (
    'To prepare it (this takes TensorFlow: pip install tensorflow): python -c '
    f'"import tensorflow_datasets as tfds; tfds.builder({name!r}{where})'
    ".download_and_prepare(file_format='array_record')\""
  )
