"""Data order as a pure function, mirror images, and the range of pixels."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments.data.batches import (
  Arrays,
  batch,
  indices,
  mirrored,
  to_float,
  to_uint8,
)


def test_arrays_stacks_the_examples_at_the_positions():
  source = Arrays({'x': np.arange(5) * 10, 'y': np.arange(10).reshape(5, 2)})
  assert len(source) == 5
  examples = source[np.array([3, 0, 3])]
  np.testing.assert_array_equal(examples['x'], [30, 0, 30])
  np.testing.assert_array_equal(examples['y'], [[6, 7], [0, 1], [6, 7]])


@pytest.mark.parametrize(
  'arrays',
  [{}, {'x': np.zeros(0)}, {'x': np.zeros(3), 'y': np.zeros(2)}],
)
def test_arrays_refuses_no_examples_and_unequal_lengths(arrays):
  with pytest.raises(ValueError, match='Arrays: needs at least one example'):
    Arrays(arrays)


def test_mirrored_adds_each_picture_flipped_left_to_right():
  image = np.array([[[1, 2, 3], [4, 5, 6]], [[7, 8, 9], [0, 1, 2]]], np.uint8)
  plain = Arrays({'image': image[..., None], 'label': np.array([5, 6])})
  source = mirrored(plain)
  assert len(source) == 4
  examples = source[np.array([3, 1, 2])]
  np.testing.assert_array_equal(examples['label'], [6, 6, 5])
  expected = [
    [[9, 8, 7], [2, 1, 0]],
    [[7, 8, 9], [0, 1, 2]],
    [[3, 2, 1], [6, 5, 4]],
  ]
  np.testing.assert_array_equal(examples['image'][..., 0], expected)
  assert examples['image'].dtype == np.uint8


@pytest.mark.parametrize(
  ('batch_size', 'size'), [(4, 12), (5, 12), (12, 12), (30, 12), (3, 1)]
)
def test_indices_walk_through_one_permutation_an_epoch(batch_size, size):
  steps = [indices(7, step, batch_size, size) for step in range(24)]
  assert all(len(positions) == batch_size for positions in steps)
  walk = np.concatenate(steps)
  assert walk.dtype == np.int64
  epochs = walk[: len(walk) // size * size].reshape(-1, size)
  np.testing.assert_array_equal(
    np.sort(epochs), np.broadcast_to(np.arange(size), epochs.shape)
  )
  # Of 12! orders no two epochs draw the same.
  assert size == 1 or len({tuple(epoch) for epoch in epochs}) == len(epochs)


def test_indices_need_no_batch_before_them():
  in_order = [indices(0, step, 5, 12) for step in range(40)]
  for step in (39, 2, 17, 0):
    np.testing.assert_array_equal(indices(0, step, 5, 12), in_order[step])
  epoch = 10**9 * 5 // 10  # a batch size of 5 makes half an epoch of 10
  expected = np.random.default_rng([3, epoch]).permutation(10)[:5]
  np.testing.assert_array_equal(indices(3, 10**9, 5, 10), expected)


def test_indices_differ_by_seed_and_take_numpy_integers():
  first = indices(1, 3, 50, 100)
  assert (first != indices(2, 3, 50, 100)).any()
  np.testing.assert_array_equal(first, indices(1, np.int32(3), 50, 100))
  # 3e9 examples seen: past the range of the step's own type.
  assert len(indices(1, np.int32(3 * 10**7), 100, 100)) == 100


def test_a_caller_may_write_on_its_indices():
  expected = indices(0, 0, 6, 6).copy()
  indices(0, 0, 6, 6)[:] = 0
  np.testing.assert_array_equal(indices(0, 0, 6, 6), expected)


@pytest.mark.parametrize(
  'arguments', [(-1, 0, 1, 1), (0, -1, 1, 1), (0, 0, 0, 1), (0, 0, 1, 0)]
)
def test_indices_refuse_what_makes_no_batch(arguments):
  with pytest.raises(ValueError, match='indices: needs seed and step'):
    indices(*arguments)


def test_batch_numbers_its_examples():
  source = Arrays({'x': np.arange(10) ** 2})
  got = batch(source, seed=4, step=3, batch_size=6)
  np.testing.assert_array_equal(got['x'], indices(4, 3, 6, 10) ** 2)
  np.testing.assert_array_equal(got['index'], np.arange(6))
  assert got['index'].dtype == np.int32


def test_to_float_maps_bytes_to_minus_one_and_one_inside_jit():
  image = np.array([0, 51, 255], np.uint8).reshape(1, 1, 3, 1)
  label = np.array([3], np.int32)
  got = jax.jit(to_float)({'image': image, 'label': label})
  assert got['image'].dtype == jnp.float32
  np.testing.assert_allclose(got['image'].ravel(), [-1, -0.6, 1], atol=1e-6)
  assert got['label'].dtype == jnp.int32


def test_to_float_leaves_floats_and_batches_without_pictures():
  floats = {'image': np.full((1, 2, 2, 1), 0.25, np.float32)}
  np.testing.assert_array_equal(to_float(floats)['image'], floats['image'])
  x = {'x': np.arange(3, dtype=np.int32)}
  assert to_float(x)['x'] is x['x']


def test_to_uint8_inverts_to_float_for_every_byte():
  image = np.arange(256, dtype=np.uint8)
  got = to_uint8(to_float({'image': image})['image'])
  assert got.dtype == np.uint8
  np.testing.assert_array_equal(got, image)


def test_to_uint8_takes_sixteen_bits_as_the_step_sees_them():
  levels = np.arange(65536, dtype=np.uint16)
  got = to_uint8(levels)
  np.testing.assert_array_equal(got, (np.arange(65536) + 128) // 257)
  np.testing.assert_array_equal(got, to_uint8(to_float({'x': levels})['x']))


def test_to_uint8_leaves_eight_bits():
  image = np.arange(256, dtype=np.uint8)
  np.testing.assert_array_equal(to_uint8(image), image)


def test_to_uint8_rounds_and_clips():
  got = to_uint8(np.array([-3.0, 0.002, 1.5]))
  np.testing.assert_array_equal(got, [0, 128, 255])


class Repeated(Arrays):
  """Draws the example of its step's number, whatever an epoch would bring."""

  def draw(self, seed, step, batch_size):
    return self[np.full(batch_size, seed + step)]


def test_a_source_may_draw_its_own_batches():
  drawn = batch(Repeated({'x': np.arange(10) * 10}), 2, 5, 3)
  assert drawn['x'].tolist() == [70, 70, 70]
  assert drawn['index'].tolist() == [0, 1, 2]
  assert drawn['index'].dtype == np.int32
