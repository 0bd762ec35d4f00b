"""Real pictures and real weights for tests, where this machine has them."""

import os
import pathlib

import pytest

from experiments import data, weights


def pictures(name, split):
  """The arrays of a prepared tensorflow-datasets set, or skips the test."""
  beside = pathlib.Path(__file__).parents[2] / 'shared' / 'data' / 'tfds'
  folder = pathlib.Path(os.environ.get('JGAN_DATA_DIR') or beside)
  if not (folder / name).is_dir():
    pytest.skip(f'no {name} in {folder}; JGAN_DATA_DIR can name another folder')
  return data.tfds_images(name, folder, split).arrays


def contents(source):
  """What a file of weights holds, from the cache alone, or skips the test."""
  if not weights.cache(source).is_file():
    pytest.skip(f'no {weights.cache(source)}; experiments.extractors fetch it')
  return weights.contents(source, weights.cache(source))
