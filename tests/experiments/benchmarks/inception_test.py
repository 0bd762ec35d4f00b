"""Features against the bare network: what runs, and what is told of it."""

import jax.numpy as jnp
import numpy as np
import pytest

from experiments.benchmarks import inception
from experiments.errors import UserError
from experiments.extractors import Extractor


def test_the_ratio_is_the_median_of_the_turns():
  speeds = np.array([[90, 100], [190, 200], [10, 100.0]])
  lines = inception.table(('ours', 'bare'), speeds).splitlines()
  assert [line.split()[:2] for line in lines] == [
    ['ours', '90'],
    ['bare', '100'],
    ['ratio', '0.900'],
  ]
  assert lines[2].endswith('95%')


def test_as_many_pictures_pass_as_through_the_network(capsys):
  passed = []

  def features(images):
    assert images.shape == (100, 32, 32, 3)
    passed.append('extracted')
    return jnp.zeros((100, 3)), None

  def network():
    passed.append('bare')
    return jnp.zeros((100, 3))

  extractor = Extractor('none', '', '', features, 3, False)
  told = inception.extraction(extractor, network, 450)
  assert passed.count('extracted') == passed.count('bare') == 4 + 1
  assert told.startswith('none, 4 turns of 100 PNGs of 32x32, 100 at a time\n')


def test_two_chunks_are_needed():
  with pytest.raises(UserError, match='--count=199: at least 200 are needed'):
    inception.extraction(None, None, 199)
