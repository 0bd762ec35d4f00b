"""Examples on several devices: their numbers, keys, placement and averages."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.sharding import AxisType
from jax.sharding import PartitionSpec as P

import jgan
from jgan import sharding

BARE = {'x': jnp.zeros((4, 2))}


def key():
  return jax.random.key(9)


def data(keys):
  return np.asarray(jax.random.key_data(keys))


def mesh(devices=4):
  return sharding.data_mesh(jax.devices()[:devices])


def test_keys_are_folded_one_by_one():
  index = [7, 0, 3, 2**31 - 1]
  got = jgan.example_keys(key(), {'index': jnp.array(index)})
  expected = [data(jax.random.fold_in(key(), i)) for i in index]
  np.testing.assert_array_equal(data(got), expected)


def test_keys_depend_on_the_number_and_not_on_the_position():
  there = jgan.example_keys(key(), {'index': jnp.array([5, 6, 7])})
  here = jgan.example_keys(key(), {'index': jnp.array([7, 1, 5])})
  np.testing.assert_array_equal(data(here)[[2, 0]], data(there)[[0, 2]])


@pytest.mark.parametrize('impl', ['rbg', 'unsafe_rbg'])
def test_draws_depend_on_the_number_alone_for_keys_of_any_kind(impl):
  def draw(index):
    key = jax.random.key(3, impl=impl)
    keys = sharding.example_keys(key, {'index': jnp.array(index)})
    return jax.vmap(jax.random.normal)(keys)

  whole = draw([0, 1, 2, 3])
  assert len(np.unique(whole)) == 4
  np.testing.assert_array_equal(draw([2, 3]), whole[2:])


def test_keys_without_an_index_count_from_zero():
  counted = jgan.example_keys(key(), {'index': jnp.arange(4)})
  np.testing.assert_array_equal(
    data(jgan.example_keys(key(), BARE)), data(counted)
  )


def test_keys_inherit_the_sharding_of_the_index():
  index = jax.device_put(jnp.arange(8), sharding.over_examples(mesh()))
  keys = jax.jit(jgan.example_keys)(key(), {'index': index})
  # Of two indices each, on four devices.
  assert keys.sharding.shard_shape(keys.shape) == (2,)


def test_the_key_of_a_batch_is_that_of_its_first_example():
  batch = {'index': jnp.array([7, 0, 3])}
  shared = data(sharding.batch_key(key(), batch))
  np.testing.assert_array_equal(
    shared, data(sharding.example_keys(key(), batch))[0]
  )


def test_given_index_stays():
  index = jnp.array([3, 1, 4, 1])
  assert sharding.with_index({**BARE, 'index': index})['index'] is index


@pytest.mark.parametrize(
  ('index', 'got'),
  [
    (jnp.arange(4.0), r'float32\[4\]'),
    (jnp.zeros(4, bool), r'bool\[4\]'),
    (np.zeros((4, 1), 'int32'), r'int32\[4, 1\]'),
  ],
)
def test_an_index_that_numbers_no_examples_is_refused(index, got):
  with pytest.raises(ValueError, match=r"'index' needs integers.*got " + got):
    jgan.example_keys(jax.random.key(0), {'index': index})


def test_missing_index_counts_over_the_devices():
  alone = sharding.with_index(BARE)['index']
  assert alone.dtype == jnp.int32
  np.testing.assert_array_equal(alone, [0, 1, 2, 3])
  parts = jax.pmap(
    lambda x: sharding.with_index({'x': x}, 'batch')['index'],
    axis_name='batch',
    devices=jax.devices()[:2],
  )(jnp.zeros((2, 3, 1)))
  np.testing.assert_array_equal(parts, [[0, 1, 2], [3, 4, 5]])


@pytest.mark.parametrize(
  ('batch', 'message'),
  [
    ({}, r'got \{\}'),
    ({'x': jnp.zeros((4, 2)), 'y': jnp.zeros(3)}, r"\['x'\].*4.*\['y'\].*3"),
    ({'x': jnp.zeros(4), 'y': jnp.zeros(())}, r"\['y'\].*a scalar"),
    ({'x': jnp.zeros(())}, 'a scalar'),
    ({'x': [[0.0] * 2] * 9}, r"got \{\"\['x'\]\[8\]\[1\]\": 'a scalar'\}"),
  ],
)
def test_batches_that_disagree_are_refused(batch, message):
  with pytest.raises(ValueError, match=message):
    sharding.batch_size(batch)
  with pytest.raises(ValueError, match='agree in their leading axis'):
    sharding.with_index(batch)


@pytest.mark.parametrize('batch', [np.zeros((4, 2)), (np.zeros(4), None), 16])
def test_arrays_without_names_are_refused(batch):
  with pytest.raises(ValueError, match=r'needs arrays by name.*got shapes'):
    sharding.with_index(batch)


def test_batch_size_is_the_leading_axis_of_any_tree():
  batch = {'x': jnp.zeros((5, 2)), 'nested': [jnp.zeros(5), np.zeros((5, 1))]}
  assert sharding.batch_size(batch) == 5


def test_mesh_and_placements():
  assert mesh().axis_names == ('batch',)
  assert mesh().axis_types == (AxisType.Auto,)
  assert list(mesh().devices) == jax.devices()[:4]
  x = jax.device_put(jnp.arange(8), sharding.over_examples(mesh()))
  parts = [list(map(int, part.data)) for part in x.addressable_shards]
  assert parts == [[0, 1], [2, 3], [4, 5], [6, 7]]
  whole = jax.device_put(jnp.arange(8), sharding.replicated(mesh()))
  assert whole.sharding.is_fully_replicated
  assert whole.sharding.device_set == set(jax.devices()[:4])


WHOLE, DIVIDED = P(), P('batch')


def over_devices(function, check_vma=True, out_specs=WHOLE):
  """The function of a replicated and a divided argument, on four devices."""
  return jax.jit(
    jax.shard_map(
      function,
      mesh=mesh(),
      in_specs=(WHOLE, DIVIDED),
      out_specs=out_specs,
      check_vma=check_vma,
    )
  )(jnp.float32(3), jnp.arange(4.0))


@pytest.mark.parametrize('check_vma', [True, False])
def test_gradients_of_varying_copies_are_local(check_vma):
  def slope(w, x):
    return jax.grad(lambda w: (w * x).sum())(w)[None]

  local = over_devices(
    lambda w, x: slope(sharding.varying(w, 'batch'), x), check_vma, DIVIDED
  )
  np.testing.assert_array_equal(local, [0, 1, 2, 3])
  average = over_devices(
    lambda w, x: sharding.mean(slope(sharding.varying(w, 'batch'), x), 'batch'),
    check_vma,
  )
  np.testing.assert_array_equal(average, [1.5])


@pytest.mark.parametrize('check_vma', [True, False])
def test_what_varies_already_stays(check_vma):
  got = over_devices(
    lambda w, x: sharding.varying({'w': w, 'x': x}, 'batch')['x'],
    check_vma,
    DIVIDED,
  )
  np.testing.assert_array_equal(got, [0, 1, 2, 3])


@pytest.mark.parametrize('check_vma', [True, False])
def test_a_loss_of_gathered_rows_has_the_slope_of_the_whole(check_vma):
  def loss(w, rows):
    return (rows[:, None] - w * rows[None]).max(1).sum() ** 2

  def slope(w, x):
    own = sharding.varying(w, 'batch')
    grad = jax.grad(lambda w: loss(w, sharding.gathered(w * x, 'batch')))(own)
    return sharding.mean(grad, 'batch')

  whole = jax.grad(lambda w: loss(w, w * jnp.arange(4.0)))(jnp.float32(3))
  np.testing.assert_allclose(over_devices(slope, check_vma), whole, rtol=1e-6)


@pytest.mark.parametrize('dtype', ['float32', 'int32', 'bool'])
def test_arrays_equal_on_all_devices_are_known_to_be(dtype):
  def equal(w, x):
    # Computed from each device's own copy.
    copy = sharding.varying(w, 'batch') + 0 * x.sum()
    return sharding.agreed({'w': w, 'pool': copy.astype(dtype)}, 'batch')

  got = over_devices(equal)
  assert got['pool'].dtype == dtype
  assert got['pool'] == jnp.asarray(3, dtype)
  assert got['w'] == 3


@pytest.mark.parametrize('check_vma', [True, False])
def test_what_devices_agree_on_has_derivatives(check_vma):
  if not check_vma and jax.__version_info__ < (0, 10):
    pytest.skip('jax adds up one slope for each device')
  square = jax.shard_map(
    lambda w: sharding.agreed(sharding.varying(w, 'batch') ** 2, 'batch'),
    mesh=mesh(),
    in_specs=WHOLE,
    out_specs=WHOLE,
    check_vma=check_vma,
  )
  x = jnp.float32(3)
  assert jax.jit(jax.grad(square))(x) == 6
  assert jax.jit(lambda t: jax.jvp(square, (x,), (t,)))(2 * x) == (9, 36)


@pytest.mark.parametrize('check_vma', [True, False])
def test_collection_made_from_the_moving_params_can_be_returned(check_vma):
  """As an average of params or a path length is, and a spectral norm's u.

  Of statistics of the batch floats are averaged, and numbers of batches stay.
  """

  def loss(variables, batch, key, step):
    w, stats = (variables['a'][name] for name in ('params', 'batch_stats'))
    stats = {'mean': batch['x'].mean(), 'count': stats['count'] + 1}
    mutated = {'seen': w**2, 'batch_stats': stats}
    return jgan.LossOutput((w * batch['x']).mean(), mutated)

  player = jgan.Player('a', loss, optax.sgd(1.0))
  variables = {
    'a': {
      'params': jnp.float32(3),
      'seen': jnp.float32(0),
      'batch_stats': {'mean': jnp.float32(0), 'count': jnp.int32(4)},
    }
  }
  gan = jgan.GAN(lambda key, batch: variables, (player,), str)
  state = jgan.init(gan, key(), BARE)
  step = jax.shard_map(
    lambda s, b, k: jgan.update(player, s, b, k, axis_name='batch')[0],
    mesh=mesh(),
    in_specs=(WHOLE, DIVIDED, WHOLE),
    out_specs=WHOLE,
    check_vma=check_vma,
  )
  after = jax.jit(step)(state, {'x': jnp.arange(8.0)}, key()).variables['a']
  assert (after['params'], after['seen']) == (3 - 3.5, 9)
  assert after['batch_stats'] == {'mean': 3.5, 'count': 5}


def test_parts_may_be_mapped_in_place_of_devices():
  def slope(w, x):
    own = sharding.varying(w, 'batch')
    grad = jax.grad(lambda w: (w * x) ** 2)(own)
    mean = sharding.mean(grad, 'batch')
    return sharding.agreed({'w': own, 'grad': mean}, 'batch')

  mapped = jax.vmap(slope, (None, 0), out_axes=None, axis_name='batch')
  got = jax.jit(mapped)(3.0, jnp.arange(4.0))
  assert (got['w'], got['grad']) == (3, 2 * 3 * 14 / 4)


def test_without_an_axis_nothing_changes():
  tree = {'x': jnp.arange(3)}
  assert sharding.mean(tree, None) is tree
  assert sharding.varying(tree, None) is tree
  assert sharding.agreed(tree, None) is tree
  assert sharding.gathered(tree['x'], None) is tree['x']
