"""Two domains as one source: their orders, and their independence."""

import numpy as np
import pytest

from experiments import data


def _domain(size, side=1):
  """Pictures that tell their number."""
  image = np.zeros((size, side, side, 1), np.int64)
  return data.Arrays({'image': image + np.arange(size)[:, None, None, None]})


def _walk(source, rows):
  got = source[np.asarray(rows)]
  assert set(got) == {'x', 'y'}
  return [got[name][:, 0, 0, 0] for name in ('x', 'y')]


def test_each_domain_is_gone_through_evenly_in_its_own_order():
  source = data.Unpaired(_domain(5), _domain(12))
  assert len(source) == 16 * 12
  x, y = _walk(source, range(len(source)))
  for domain, size in ((x, 5), (y, 12)):
    whole = len(domain) // size
    passes = domain[: whole * size].reshape(whole, size)
    assert (np.sort(passes) == np.arange(size)).all()
    # Shuffled anew each time.
    assert len(np.unique(passes, axis=0)) > whole / 2
  assert np.bincount(x, minlength=5).min() >= len(source) // 5


def test_no_picture_always_stands_beside_the_same():
  source = data.Unpaired(_domain(6), _domain(6))
  x, y = _walk(source, range(len(source)))
  partners = [len(set(y[x == i].tolist())) for i in range(6)]
  assert min(partners) >= 4


def test_examples_depend_on_the_seed_and_the_position_alone():
  source = data.Unpaired(_domain(5), _domain(12), seed=3)
  rows = np.array([100, 3, 3, 191])
  x, y = _walk(source, rows)
  for i, row in enumerate(rows):
    one = _walk(data.Unpaired(_domain(5), _domain(12), seed=3), [row])
    assert (x[i], y[i]) == (one[0][0], one[1][0])
  other = _walk(data.Unpaired(_domain(5), _domain(12), 4), range(60))
  assert not np.array_equal(other, _walk(source, range(60)))


def test_batches_are_a_pure_function_of_seed_and_step():
  batches = [
    data.batch(data.Unpaired(_domain(5), _domain(12)), 1, step, 8)
    for step in (7, 7, 8)
  ]
  for name in ('x', 'y', 'index'):
    np.testing.assert_array_equal(batches[0][name], batches[1][name])
  assert not np.array_equal(batches[0]['y'], batches[2]['y'])


def test_domains_of_other_sizes_are_named():
  with pytest.raises(ValueError, match=r'one size .* \[1, 1\] and \[2, 2\]'):
    data.Unpaired(_domain(5), _domain(5, side=2))
