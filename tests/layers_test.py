"""Layers against flax's own, against numpy, and over several devices."""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from games import assert_close
from jax import lax
from jax.sharding import PartitionSpec as P

import jgan
from jgan import layers


def normal(*shape, seed=0):
  return jnp.asarray(np.random.default_rng(seed).normal(size=shape))


def results(module, variables, x, options):
  """The outputs, new collections and all gradients of one call."""

  def loss(params, x):
    y, mutated = module.apply(
      {**variables, 'params': params}, x, mutable=['batch_stats'], **options
    )
    return jnp.sin(y).sum(), (y, mutated)

  params = variables.get('params', {})
  return jax.grad(loss, (0, 1), has_aux=True)(params, x)


def assert_same(ours, theirs, x, *calls):
  """Variables of one form, and in every call the same results from them."""
  key = jax.random.key(1)
  form, other = (
    jax.eval_shape(lambda key, m=m: m.init(key, x, **calls[0]), key)
    for m in (ours, theirs)
  )
  assert form == other
  rng = np.random.default_rng(1)
  variables = jax.tree.map(
    lambda v: jnp.asarray(rng.uniform(0.3, 1.5, v.shape), v.dtype), form
  )
  got, expected = jax.jit(
    lambda v, x: [[results(m, v, x, c) for c in calls] for m in (ours, theirs)]
  )(variables, x)
  assert_close(got, expected, 2e-5)


@pytest.mark.parametrize(
  ('shape', 'options'),
  [
    ((6, 3), {}),
    ((4, 5, 3), {'use_bias': False, 'momentum': 0.5}),
    ((4, 3, 5, 2), {'use_scale': False, 'epsilon': 0.1}),
    ((2, 3, 2, 4, 3), {'scale_init': nn.initializers.normal(1.0)}),
  ],
)
def test_batch_norm_is_flaxs(shape, options):
  assert_same(
    layers.BatchNorm(**options),
    nn.BatchNorm(**options),
    2 * normal(*shape) + 1,
    {'use_running_average': False},
    {'use_running_average': True},
  )


@pytest.mark.parametrize(
  ('ours', 'theirs', 'flag'),
  [
    (layers.BatchNorm(), nn.BatchNorm(), {'use_running_average': False}),
    (
      layers.SpectralNorm(nn.Dense(3)),
      nn.SpectralNorm(nn.Dense(3)),
      {'update_stats': True},
    ),
    (layers.ConvTranspose(2, (3,), (2,)), nn.ConvTranspose(2, (3,), (2,)), {}),
  ],
)
def test_initial_variables_are_flaxs(ours, theirs, flag):
  got, expected = (
    module.init(jax.random.key(3), jnp.ones((2, 3, 4)), **flag)
    for module in (ours, theirs)
  )
  assert_close(got, expected, 1e-6)


def test_batch_norm_by_hand():
  x = np.array([[0.0, 1.0], [2.0, 1.0], [4.0, 7.0]], 'float32')
  norm = layers.BatchNorm(momentum=0.9, epsilon=0.0)
  variables = norm.init(jax.random.key(0), jnp.asarray(x), False)
  y, mutated = norm.apply(
    variables, jnp.asarray(x), False, mutable=['batch_stats']
  )
  np.testing.assert_allclose(y, (x - [2, 3]) / np.sqrt([8 / 3, 8]), rtol=1e-5)
  stats = mutated['batch_stats']
  # From 0 and 1 by a tenth of the way to the batch's (2, 3) and (8/3, 8).
  np.testing.assert_allclose(stats['mean'], [0.2, 0.3], rtol=1e-5)
  np.testing.assert_allclose(stats['var'], [0.9 + 0.8 / 3, 1.7], rtol=1e-5)
  y = norm.apply({**variables, **mutated}, jnp.asarray(x), True)
  expected = (x - [0.2, 0.3]) / np.sqrt([0.9 + 0.8 / 3, 1.7])
  np.testing.assert_allclose(y, expected, rtol=1e-5)


def test_batch_norm_in_bfloat16_has_float32_statistics():
  x = (10 + normal(64, 8, 3)).astype(jnp.bfloat16)
  norm = layers.BatchNorm(momentum=0.0)
  variables = norm.init(jax.random.key(0), x, False)
  y, mutated = norm.apply(variables, x, False, mutable=['batch_stats'])
  assert y.dtype == jnp.bfloat16
  exact = np.asarray(x, 'float64').reshape(-1, 3)
  mean, var = (mutated['batch_stats'][name] for name in ('mean', 'var'))
  assert (mean.dtype, var.dtype) == (jnp.float32, jnp.float32)
  np.testing.assert_allclose(mean, exact.mean(0), rtol=1e-5)
  np.testing.assert_allclose(var, exact.var(0), rtol=1e-3)
  np.testing.assert_allclose(np.std(np.float32(y)), 1, rtol=0.01)


@pytest.mark.parametrize('norm', ['BatchNorm', 'ConditionalBatchNorm'])
def test_statistics_over_devices_are_global(norm):
  kernels = {'kernel_init': nn.initializers.normal(1.0)}
  options = {} if norm == 'BatchNorm' else kernels
  alone = getattr(layers, norm)(**options)
  parallel = getattr(layers, norm)(axis_name='batch', **options)
  x = normal(8, 3, 2) * np.arange(1, 9)[:, None, None]  # devices differ
  more = () if norm == 'BatchNorm' else (normal(8, 4, seed=2),)
  variables = alone.init(jax.random.key(0), x, *more, False)

  def run(module, axis, variables, x, *more):
    def loss(params):
      y, mutated = module.apply(
        {**variables, 'params': params},
        x,
        *more,
        False,
        mutable=['batch_stats'],
      )
      return jnp.sin(y).mean(), (y, mutated)

    params = jgan.sharding.varying(variables['params'], axis)
    grads, (y, mutated) = jax.grad(loss, has_aux=True)(params)
    return jgan.sharding.mean(grads, axis), y, mutated

  mesh = jgan.sharding.data_mesh(jax.devices()[:4])
  over = jax.jit(
    jax.shard_map(
      functools.partial(run, parallel, 'batch'),
      mesh=mesh,
      in_specs=(P(), *[P('batch')] * (1 + len(more))),
      out_specs=(P(), P('batch'), P()),
    )
  )
  single = jax.jit(functools.partial(run, alone, None))
  got = jax.block_until_ready(over(variables, x, *more))
  assert_close(got, single(variables, x, *more), 1e-5)


def modulated(x, condition, params, epsilon=1e-5):
  """Conditional batch normalisation one example at a time, in float64."""
  x, condition = np.asarray(x, 'float64'), np.asarray(condition, 'float64')
  axes = tuple(range(x.ndim - 1))
  x = (x - x.mean(axes)) / np.sqrt(x.var(axes) + epsilon)
  rows = []
  for example, c in zip(x, condition, strict=True):
    scale = 1 + c @ np.asarray(params['scale']['kernel'])
    rows.append(example * scale + c @ np.asarray(params['bias']['kernel']))
  return np.stack(rows)


@pytest.mark.parametrize('shape', [(6, 3), (6, 4, 3), (6, 2, 4, 3)])
def test_conditional_batch_norm_modulates_each_example(shape):
  x, condition = normal(*shape), normal(6, 5, seed=1)
  norm = layers.ConditionalBatchNorm(nn.initializers.normal(1.0))
  variables = norm.init(jax.random.key(0), x, condition, False)
  y, _ = norm.apply(variables, x, condition, False, mutable=['batch_stats'])
  expected = modulated(x, condition, variables['params'])
  np.testing.assert_allclose(y, expected, rtol=1e-4, atol=1e-4)


def test_conditional_batch_norm_starts_as_the_plain_one():
  x, condition = normal(6, 4, 3), normal(6, 5, seed=1)
  conditional = layers.ConditionalBatchNorm(momentum=0.8)
  plain = layers.BatchNorm(0.8, use_scale=False, use_bias=False)
  variables = conditional.init(jax.random.key(0), x, condition, False)
  y, mutated = conditional.apply(
    variables, x, condition, False, mutable=['batch_stats']
  )
  expected, stats = plain.apply(
    plain.init(jax.random.key(0), x, False), x, False, mutable=['batch_stats']
  )
  assert_close(y, expected, 1e-6)
  inner = {'batch_stats': mutated['batch_stats']['BatchNorm_0']}
  assert_close(inner, stats, 1e-6)


def test_one_hot_condition_is_a_scale_and_bias_for_each_class():
  x, label = normal(4, 3), jnp.array([2, 0, 2, 1])
  norm = layers.ConditionalBatchNorm(nn.initializers.normal(1.0))
  one_hot = jax.nn.one_hot(label, 3)
  variables = norm.init(jax.random.key(0), x, one_hot, False)
  stats = {'BatchNorm_0': {'mean': jnp.zeros(3), 'var': jnp.full(3, 1 - 1e-5)}}
  y = norm.apply({**variables, 'batch_stats': stats}, x, one_hot, True)
  kernels = jax.tree.map(np.asarray, variables['params'])
  scale = 1 + kernels['scale']['kernel'][label]
  expected = x * scale + kernels['bias']['kernel'][label]
  np.testing.assert_allclose(y, expected, rtol=1e-5, atol=1e-6)


class Two(nn.Module):
  """A layer with two kernels, deep in it."""

  @nn.compact
  def __call__(self, x):
    return nn.Dense(2)(nn.relu(nn.Conv(4, (3,))(x)))


class Parent(nn.Module):
  norm: type
  n_steps: int

  @nn.compact
  def __call__(self, x, update_stats):
    x = self.norm(nn.Dense(5), n_steps=self.n_steps)(
      x, update_stats=update_stats
    )
    return self.norm(Two())(x, update_stats=update_stats)


@pytest.mark.parametrize('n_steps', [1, 3])
def test_spectral_norm_is_flaxs(n_steps):
  assert_same(
    Parent(layers.SpectralNorm, n_steps),
    Parent(nn.SpectralNorm, n_steps),
    normal(2, 6, 3),
    {'update_stats': True},
  )


CONV = layers.SpectralNorm(nn.Conv(4, (3, 2)))


@functools.cache
def converged():
  """Variables of CONV after many updates, and its input."""
  x = normal(1, 4, 4, 2)
  variables = CONV.init(jax.random.key(0), x, update_stats=False)
  variables['params']['layer_instance']['bias'] += 2

  def move(_, stats):
    _, mutated = CONV.apply(
      {**variables, 'batch_stats': stats},
      x,
      update_stats=True,
      mutable=['batch_stats'],
    )
    return mutated['batch_stats']

  stats = jax.jit(lambda s: lax.fori_loop(0, 300, move, s))(
    variables['batch_stats']
  )
  return {**variables, 'batch_stats': stats}, x


def test_spectral_norm_finds_the_largest_singular_value():
  variables, x = converged()
  kernel = variables['params']['layer_instance']['kernel']
  largest = np.linalg.svd(kernel.reshape(-1, 4), compute_uv=False)[0]
  stored = variables['batch_stats']['layer_instance/kernel/sigma']
  assert float(stored) == pytest.approx(largest, rel=1e-4)
  divided = {'kernel': kernel / largest, 'bias': 2 * jnp.ones(4)}
  expected = nn.Conv(4, (3, 2)).apply({'params': divided}, x)
  got = CONV.apply(variables, x, update_stats=False)
  np.testing.assert_allclose(got, expected, rtol=1e-3, atol=1e-4)


def test_spectral_norm_without_update_repeats_itself():
  x = normal(1, 4, 4, 2)
  variables = CONV.init(jax.random.key(0), x, update_stats=False)
  once, mutated = CONV.apply(
    variables, x, update_stats=False, mutable=['batch_stats']
  )
  assert_close(dict(mutated)['batch_stats'], variables['batch_stats'], 0)
  again = CONV.apply(variables, x, update_stats=False)
  np.testing.assert_array_equal(once, again)
  moved, mutated = CONV.apply(
    variables, x, update_stats=True, mutable=['batch_stats']
  )
  assert not np.allclose(once, moved)
  # Once iterated, the vector is what the next evaluation uses.
  new = {**variables, **mutated}
  assert not np.allclose(CONV.apply(new, x, update_stats=False), once)


def test_spectral_norm_leaves_a_zero_kernel_alone():
  norm = layers.SpectralNorm(nn.Dense(3, kernel_init=nn.initializers.zeros))
  variables = norm.init(jax.random.key(0), jnp.ones((2, 4)), update_stats=True)

  def total(x):
    y, _ = norm.apply(variables, x, update_stats=True, mutable=['batch_stats'])
    return y.sum()

  value, slope = jax.value_and_grad(total)(jnp.ones((2, 4)))
  assert float(value) == 0
  np.testing.assert_array_equal(slope, jnp.zeros((2, 4)))


# spatial sizes, kernel, strides
CONVOLUTIONS = [
  ((7,), (25,), (4,)),  # WaveGAN's
  ((5,), (4,), (3,)),
  ((3, 5), (4, 4), (2, 2)),
  ((4, 3), (5, 5), (2, 2)),
  ((5, 4), (3, 3), (1, 1)),
  ((2, 3), (2, 3), (2, 3)),
  ((3, 2, 1), (4, 3, 2), (2, 1, 2)),
]


@pytest.mark.parametrize(('sizes', 'kernel', 'strides'), CONVOLUTIONS)
def test_conv_transpose_is_flaxs(sizes, kernel, strides):
  options = {'use_bias': len(sizes) != 2 or strides[0] == 1}
  assert_same(
    layers.ConvTranspose(3, kernel, strides, **options),
    nn.ConvTranspose(3, kernel, strides, **options),
    normal(2, *sizes, 2),
    {},
  )


@pytest.mark.parametrize(
  ('sizes', 'kernel', 'strides'), [CONVOLUTIONS[1], CONVOLUTIONS[3]]
)
def test_second_derivatives_of_conv_transpose(sizes, kernel, strides):
  x, w = normal(2, *sizes, 2), normal(*kernel, 2, 3, seed=1)
  names = layers._DIMENSIONS[len(sizes)]

  def reference(x, w, strides):
    return lax.conv_transpose(x, w, strides, 'SAME', dimension_numbers=names)

  def penalty(convolve, x, w):
    slope = jax.grad(lambda x: jnp.sin(convolve(x, w, strides)).sum())(x)
    return (slope**2).mean()

  got, expected = jax.jit(
    lambda x, w: [
      jax.grad(penalty, (1, 2))(convolve, x, w)
      for convolve in (layers.conv_transpose, reference)
    ]
  )(x, w)
  assert_close(got, expected, 1e-4)


@pytest.mark.parametrize(
  ('kernel', 'strides'), [((1,), (2,)), ((4, 2), (2, 3))]
)
def test_kernel_smaller_than_the_stride_is_refused(kernel, strides):
  layer = layers.ConvTranspose(3, kernel, strides)
  x = jnp.zeros((1, *[4] * len(kernel), 2))
  message = r'conv_transpose: a kernel of \(.*\) is smaller than the strides'
  with pytest.raises(ValueError, match=message):
    layer.init(jax.random.key(0), x)


X, CONDITION = jnp.ones((2, 4, 4, 2)), jnp.ones((2, 3))


@pytest.mark.parametrize(
  ('module', 'args', 'options'),
  [
    (layers.BatchNorm(dtype=jnp.bfloat16), (X, False), {}),
    (
      layers.ConditionalBatchNorm(dtype=jnp.bfloat16),
      (X, CONDITION, False),
      {},
    ),
    (layers.ConvTranspose(3, (4, 4), (2, 2), dtype=jnp.bfloat16), (X,), {}),
    (
      layers.SpectralNorm(nn.Conv(3, (3, 3), dtype=jnp.bfloat16)),
      (X,),
      {'update_stats': True},
    ),
  ],
)
def test_computation_in_bfloat16_keeps_float32_variables(module, args, options):
  y, variables = jax.eval_shape(
    lambda key: module.init_with_output(key, *args, **options),
    jax.random.key(0),
  )
  assert y.dtype == jnp.bfloat16
  assert {v.dtype.name for v in jax.tree.leaves(variables)} == {'float32'}
