"""Prepared tensorflow-datasets sets: small ones of our own, and the real."""

import io
import os
import pathlib
import threading

import numpy as np
import pytest
from PIL import Image

from experiments.data.tfds import tfds_images, tfds_source


def _png(pixels):
  file = io.BytesIO()
  Image.fromarray(pixels).save(file, format='PNG')
  return file.getvalue()


def _prepare(set_name, folder, examples, **features):
  """Writes a prepared set, found by its files alone as a stranger's is."""
  import tensorflow_datasets as tfds

  class Builder(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    name = set_name
    VERSION = tfds.core.Version('1.0.0')

    def _info(self):
      features_dict = tfds.features.FeaturesDict(features)
      return tfds.core.DatasetInfo(builder=self, features=features_dict)

    def _split_generators(self, manager):
      return {'train': self._generate_examples()}

    def _generate_examples(self):
      yield from enumerate(examples)

  Builder(data_dir=folder).download_and_prepare(file_format='array_record')


def _prepare_pictures(set_name, folder, images):
  import tensorflow_datasets as tfds

  channels = 1 if images[0].ndim == 2 else 3
  examples = [{'image': _png(image)} for image in images]
  image = tfds.features.Image(shape=(None, None, channels))
  _prepare(set_name, folder, examples, image=image)


def _numbered(count, *shape):
  return [np.full(shape, i, np.uint8) for i in range(count)]


def test_reads_every_picture_with_its_label_once(tmp_path):
  import tensorflow_datasets as tfds

  examples = [
    {'image': _png(image), 'label': i % 3}
    for i, image in enumerate(_numbered(70, 4, 6, 3))
  ]
  image = tfds.features.Image(shape=(4, 6, 3))
  label = tfds.features.ClassLabel(num_classes=3)
  _prepare('colour', tmp_path, examples, image=image, label=label)
  arrays = tfds_images('colour', tmp_path).arrays
  assert arrays['image'].shape == (70, 4, 6, 3)
  assert (arrays['image'].dtype, arrays['label'].dtype) == (np.uint8, np.int32)
  number = arrays['image'][:, 0, 0, 0]
  np.testing.assert_array_equal(np.sort(number), np.arange(70))
  np.testing.assert_array_equal(arrays['label'], number % 3)
  rows = np.array([69, 0, 31, 31])
  source = tfds_source('colour', tmp_path)
  for name, values in source[rows].items():
    assert values.dtype == arrays[name].dtype
    np.testing.assert_array_equal(values, arrays[name][rows])
  assert (len(source), source.shape) == (70, (4, 6, 3))


def test_larger_pictures_are_decoded_in_threads_in_order(tmp_path):
  _prepare_pictures('large', tmp_path, _numbered(30, 64, 64))
  source = tfds_source('large', tmp_path)
  threads = set()

  def read(rows, reader=source.read):
    threads.add(threading.get_ident())
    return reader(rows)

  source.read = read
  apart = np.concatenate([source[np.array([i])]['image'] for i in range(30)])
  threads.clear()
  np.testing.assert_array_equal(source[np.arange(30)]['image'], apart)
  assert threading.get_ident() not in threads


def test_smaller_pictures_lie_in_the_middle_on_zeros(tmp_path):
  images = [np.full((28, 28), 9, np.uint8), np.full((3, 2), 9, np.uint8)] * 2
  _prepare_pictures('grey', tmp_path, images)
  arrays = tfds_images('grey', tmp_path, resolution=32).arrays
  assert set(arrays) == {'image'}
  assert arrays['image'].shape == (4, 32, 32, 1)
  large, small = np.zeros((2, 32, 32), np.uint8)
  large[2:30, 2:30] = small[14:17, 15:17] = 9
  images = list(arrays['image'][..., 0])
  assert sum(np.array_equal(image, large) for image in images) == 2
  assert sum(np.array_equal(image, small) for image in images) == 2


def test_a_split_may_be_part_of_one(tmp_path):
  _prepare_pictures('part', tmp_path, _numbered(8, 3, 3))
  assert len(tfds_images('part', tmp_path, 'train[:50%]')) == 4
  with pytest.raises(ValueError, match=r"part: 'train\[:0\]'"):
    tfds_images('part', tmp_path, 'train[:0]')


def test_pictures_must_fit_and_be_of_one_size(tmp_path):
  _prepare_pictures('mixed', tmp_path, _numbered(4, 5, 5) + _numbered(4, 8, 3))
  with pytest.raises(ValueError, match=r'8x3 do not fit into resolution 6'):
    tfds_images('mixed', tmp_path, resolution=6)
  with pytest.raises(ValueError, match=r'mixed: .*give a resolution'):
    tfds_images('mixed', tmp_path)


def test_an_unprepared_set_names_the_folder_and_the_line(tmp_path):
  with pytest.raises(FileNotFoundError) as error:
    tfds_images('mnist', str(tmp_path))
  message = str(error.value)
  assert f'mnist is not prepared in {tmp_path}/mnist/' in message
  assert 'pip install tensorflow' in message
  assert f"tfds.builder('mnist', data_dir='{tmp_path}')" in message
  assert "download_and_prepare(file_format='array_record')" in message


def test_a_wrong_name_or_split_is_told_with_the_right_one(tmp_path):
  with pytest.raises(ValueError, match=r"no set 'mnits'.* mean 'mnist'\?$"):
    tfds_images('mnits', tmp_path)
  with pytest.raises(ValueError, match='BuilderConfig foo not found'):
    tfds_images('mnist/foo', tmp_path)
  _prepare_pictures('tiny', tmp_path, _numbered(2, 3, 3))
  with pytest.raises(ValueError, match=r"'test'.*Should be one of \['train'\]"):
    tfds_images('tiny', tmp_path, 'test')


def test_a_set_in_another_format_is_refused(tmp_path):
  import tensorflow_datasets as tfds

  _prepare_pictures('other', tmp_path, _numbered(2, 3, 3))
  [info] = tmp_path.glob('other/*/dataset_info.json')
  info.write_text(info.read_text().replace('array_record', 'tfrecord'))
  assert tfds.builder('other', data_dir=tmp_path).is_prepared()
  with pytest.raises(ValueError, match=r'as tfrecord, and array_record is'):
    tfds_images('other', tmp_path)


def test_a_set_without_pictures_is_refused_with_its_features(tmp_path):
  import tensorflow_datasets as tfds

  text = tfds.features.Text()
  _prepare('words', tmp_path, [{'text': 'a'}, {'text': 'b'}], text=text)
  with pytest.raises(ValueError, match=r"needs a feature 'image'(.|\n)*'text'"):
    tfds_images('words', tmp_path)


def _real_data(name):
  """Returns the folder of a real prepared set, or skips the test."""
  beside = pathlib.Path(__file__).parents[4] / 'shared' / 'data' / 'tfds'
  folder = pathlib.Path(os.environ.get('JGAN_DATA_DIR') or beside)
  if not (folder / name).is_dir():
    pytest.skip(f'no {name} in {folder}; JGAN_DATA_DIR can name another folder')
  return folder


def test_real_mnist_is_laid_on_32x32():
  arrays = tfds_images('mnist', _real_data('mnist'), 'test', 32).arrays
  assert arrays['image'].shape == (10000, 32, 32, 1)
  counts = [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
  np.testing.assert_array_equal(np.bincount(arrays['label']), counts)
  # The mean pixel of the test set, .1325, on a larger square.
  mean = arrays['image'].mean() / 255 * 32**2 / 28**2
  assert abs(mean - 0.1325) < 2e-4


def test_real_cifar10_is_read_in_colour():
  arrays = tfds_images('cifar10', _real_data('cifar10'), 'test').arrays
  assert arrays['image'].shape == (10000, 32, 32, 3)
  np.testing.assert_array_equal(np.bincount(arrays['label']), [1000] * 10)
  mean = arrays['image'].mean((0, 1, 2)) / 255
  np.testing.assert_allclose(mean, [0.4942, 0.4851, 0.4504], atol=2e-4)
