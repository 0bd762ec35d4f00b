"""Layers against flax's own, against numpy, and over several devices."""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import jaxtyping
import numpy as np
import pytest
from games import assert_close
from jax import lax
from jax.sharding import PartitionSpec as P

import jgan
from jgan import convolutions, layers


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


def made(module, *args, **flags):
  """Variables in the module's form, of values that hide nothing."""
  form = jax.eval_shape(
    lambda key: module.init(key, *args, **flags), jax.random.key(1)
  )
  rng = np.random.default_rng(1)
  return jax.tree.map(
    lambda v: jnp.asarray(rng.uniform(0.3, 1.5, v.shape), v.dtype), form
  )


def apply(module, variables, *args, **flags):
  """The outputs and new statistics, as one program."""
  return jax.jit(
    lambda v: module.apply(v, *args, mutable=['batch_stats'], **flags)
  )(variables)


def assert_same(ours, theirs, x, *calls):
  """Variables of one form, and in every call the same results from them."""
  variables = made(ours, x, **calls[0])
  assert_close(variables, made(theirs, x, **calls[0]), 0)
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
  got, expected = jax.jit(
    lambda key: [
      module.init(key, jnp.ones((2, 3, 4)), **flag) for module in (ours, theirs)
    ]
  )(jax.random.key(3))
  assert_close(got, expected, 1e-6)


def test_batch_norm_by_hand():
  x = np.array([[0.0, 1.0], [2.0, 1.0], [4.0, 7.0]], 'float32')
  norm = layers.BatchNorm(0.9, epsilon=0.0, use_scale=False, use_bias=False)
  start = {'batch_stats': {'mean': jnp.zeros(2), 'var': jnp.ones(2)}}
  y, mutated = apply(norm, start, jnp.asarray(x), False)
  np.testing.assert_allclose(y, (x - [2, 3]) / np.sqrt([8 / 3, 8]), rtol=1e-5)
  stats = mutated['batch_stats']
  # From 0 and 1 by a tenth of the way to the batch's (2, 3) and (8/3, 8).
  np.testing.assert_allclose(stats['mean'], [0.2, 0.3], rtol=1e-5)
  np.testing.assert_allclose(stats['var'], [0.9 + 0.8 / 3, 1.7], rtol=1e-5)
  y, same = apply(norm, mutated, jnp.asarray(x), True)
  expected = (x - [0.2, 0.3]) / np.sqrt([0.9 + 0.8 / 3, 1.7])
  np.testing.assert_allclose(y, expected, rtol=1e-5)
  assert_close(same, mutated, 0)


def test_batch_norm_in_bfloat16_has_float32_statistics():
  x = (10 + normal(64, 8, 3)).astype(jnp.bfloat16)
  norm = layers.BatchNorm(momentum=0.0, use_scale=False)
  y, mutated = apply(norm, made(norm, x, False), x, False)
  assert y.dtype == jnp.bfloat16
  exact = np.asarray(x, 'float64').reshape(-1, 3)
  mean, var = (mutated['batch_stats'][name] for name in ('mean', 'var'))
  assert (mean.dtype, var.dtype) == (jnp.float32, jnp.float32)
  np.testing.assert_allclose(mean, exact.mean(0), rtol=1e-5)
  np.testing.assert_allclose(var, exact.var(0), rtol=1e-3)
  np.testing.assert_allclose(np.float32(y).std((0, 1)), 1, rtol=0.01)


def test_batch_norm_in_bfloat16_needs_no_dtype_promotion():
  norm, x = layers.BatchNorm(), jnp.zeros((4, 3), jnp.bfloat16)
  with jax.numpy_dtype_promotion('strict'):
    y, _ = jax.eval_shape(
      lambda x: norm.init_with_output(jax.random.key(0), x, False), x
    )
  assert y.dtype == jnp.bfloat16


@pytest.mark.parametrize('shape', [(3, 5, 6, 4), (2, 7, 4), (2, 3, 4, 2, 4)])
@pytest.mark.parametrize(
  'options', [{}, {'use_scale': False}, {'use_bias': False}]
)
def test_instance_norm_is_flaxs(shape, options):
  ours = layers.InstanceNorm(1e-5, **options)
  theirs = nn.InstanceNorm(epsilon=1e-5, **options)
  assert_same(ours, theirs, 0.5 + normal(*shape), {})


def test_instance_norm_by_hand():
  x = jnp.array([[[1.0, 10], [3, 10]], [[5, 20], [5, 40]]])
  y = layers.InstanceNorm(use_scale=False, use_bias=False).apply({}, x)
  # Flat ground becomes 0, everything else a deviation of 1.
  expected = [[[-1, 0], [1, 0]], [[0, -1], [0, 1]]]
  np.testing.assert_allclose(y, expected, atol=1e-4)


def test_instance_norm_leaves_flat_ground_exactly_flat():
  x = jnp.full((1, 8, 8, 1), 1000.1)
  norm = layers.InstanceNorm(use_scale=False, use_bias=False)
  # Rounding is what this is of: compiled as users have it.
  options = {'xla_backend_optimization_level': 3}
  if jax.__version_info__ < (0, 11):
    options['xla_cpu_use_fusion_emitters'] = True
  y = jax.jit(norm.apply, compiler_options=options)({}, x)
  # A rounded mean would leave noise of the size of the deviation.
  np.testing.assert_array_equal(y, 0)


def test_instance_norm_is_compiled_once_for_two_moves():
  norm = layers.InstanceNorm(use_scale=False, use_bias=False)

  def net(kernels, x):
    for kernel in kernels:
      x = lax.conv_general_dilated(
        x, kernel, (1, 1), 'SAME', dimension_numbers=('NHWC', 'HWIO', 'NHWC')
      )
      x = nn.relu(norm.apply({}, x))
    return x

  def moves(kernels, x):
    made = net(kernels, x).mean()  # one player's move reads it,
    return made, jax.grad(lambda k: net(k, x).mean() ** 2)(kernels)

  kernels = [normal(3, 3, 8, 8, seed=i) for i in range(2)]
  program = jax.jit(moves).lower(kernels, normal(2, 8, 8, 8)).compile()
  # Two forward, two for the kernels' gradients and one between the layers.
  assert program.as_text().count(' convolution(') == 5


@pytest.mark.parametrize('norm', ['BatchNorm', 'ConditionalBatchNorm'])
def test_statistics_over_devices_are_global(norm):
  alone = getattr(layers, norm)()
  parallel = getattr(layers, norm)(axis_name='batch')
  x = normal(8, 3, 2) * np.arange(1, 9)[:, None, None]  # devices differ
  more = () if norm == 'BatchNorm' else (normal(8, 4, seed=2),)
  variables = made(alone, x, *more, False)

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
  norm = layers.ConditionalBatchNorm()
  variables = made(norm, x, condition, False)
  y, _ = apply(norm, variables, x, condition, False)
  expected = modulated(x, condition, variables['params'])
  np.testing.assert_allclose(y, expected, rtol=1e-4, atol=1e-4)


def test_conditional_batch_norm_starts_as_the_plain_one():
  x, condition = normal(6, 4, 3), normal(6, 5, seed=1)
  conditional = layers.ConditionalBatchNorm(momentum=0.8)
  plain = layers.BatchNorm(0.8, use_scale=False, use_bias=False)
  variables = conditional.init(jax.random.key(0), x, condition, False)
  y, mutated = apply(conditional, variables, x, condition, False)
  inner = {'batch_stats': variables['batch_stats']['BatchNorm_0']}
  expected, stats = apply(plain, inner, x, False)
  assert_close(y, expected, 1e-6)
  moved = mutated['batch_stats']['BatchNorm_0']
  assert_close({'batch_stats': moved}, stats, 1e-6)


def test_one_hot_condition_is_a_scale_and_bias_for_each_class():
  x, label = normal(4, 3), jnp.array([2, 0, 2, 1])
  norm = layers.ConditionalBatchNorm()
  one_hot = jax.nn.one_hot(label, 3)
  variables = made(norm, x, one_hot, True)
  stats = {'BatchNorm_0': {'mean': jnp.zeros(3), 'var': jnp.full(3, 1 - 1e-5)}}
  y, _ = apply(norm, {**variables, 'batch_stats': stats}, x, one_hot, True)
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
    return self.norm(Two(), n_steps=self.n_steps)(x, update_stats=update_stats)


@pytest.mark.parametrize('n_steps', [1, 3])
def test_spectral_norm_is_flaxs(n_steps):
  assert_same(
    Parent(layers.SpectralNorm, n_steps),
    Parent(nn.SpectralNorm, n_steps),
    normal(2, 6, 3),
    {'update_stats': True},
  )


CONV, X = layers.SpectralNorm(nn.Conv(4, (3, 2))), normal(1, 4, 4, 2)


def test_spectral_norm_finds_the_largest_singular_value():
  variables = made(CONV, X, update_stats=False)
  layer = {'kernel': normal(3, 2, 2, 4, seed=3), 'bias': jnp.arange(4.0)}
  variables['params'] = {'layer_instance': layer}

  def move(_, stats):
    moving = {**variables, 'batch_stats': stats}
    return apply(CONV, moving, X, update_stats=True)[1]['batch_stats']

  stats = lax.fori_loop(0, 300, move, variables['batch_stats'])
  largest = np.linalg.svd(layer['kernel'].reshape(-1, 4), compute_uv=False)[0]
  stored = stats['layer_instance/kernel/sigma']
  assert float(stored) == pytest.approx(largest, rel=1e-4)
  got, _ = apply(
    CONV, {**variables, 'batch_stats': stats}, X, update_stats=False
  )
  divided = {**layer, 'kernel': layer['kernel'] / largest}
  expected, _ = apply(CONV.layer_instance, {'params': divided}, X)
  np.testing.assert_allclose(got, expected, rtol=1e-3, atol=1e-4)


def test_spectral_norm_without_update_repeats_itself():
  variables = made(CONV, X, update_stats=False)
  once, mutated = apply(CONV, variables, X, update_stats=False)
  assert_close(mutated['batch_stats'], variables['batch_stats'], 0)
  again, _ = apply(CONV, {**variables, **mutated}, X, update_stats=False)
  np.testing.assert_array_equal(once, again)
  iterated, moved = apply(CONV, variables, X, update_stats=True)
  assert not np.allclose(iterated, once)
  # Once iterated, the vector is what the next evaluation uses.
  new, _ = apply(CONV, {**variables, **moved}, X, update_stats=False)
  assert not np.allclose(new, once)


def test_spectral_norm_without_iterations_is_refused():
  norm = layers.SpectralNorm(nn.Dense(3), n_steps=0)
  with pytest.raises(ValueError, match='n_steps must be 1 or more, got 0'):
    norm.init(jax.random.key(0), jnp.ones((2, 4)), update_stats=True)


def test_spectral_norm_leaves_a_zero_kernel_alone():
  norm, x = layers.SpectralNorm(nn.Dense(3)), jnp.ones((2, 4))
  variables = made(norm, x, update_stats=True)
  zero = {
    **variables,
    'params': jax.tree.map(jnp.zeros_like, variables['params']),
  }
  (grads, slope), (y, _) = jax.jit(
    lambda v, x: results(norm, v, x, {'update_stats': True})
  )(zero, x)
  assert_close(y, jnp.zeros((2, 3)), 0)
  assert_close(slope, jnp.zeros((2, 4)), 0)
  assert all(jnp.isfinite(g).all() for g in jax.tree.leaves(grads))


def attended(x, params):
  """Self-attention pixel by pixel, in float64."""
  x = np.asarray(x, 'float64')
  query, key, value, output = (
    np.asarray(params[name]['kernel'], 'float64')
    for name in ('query', 'key', 'value', 'output')
  )
  y = x.copy()
  for example, out in zip(x, y, strict=True):
    squares = [
      example[i : i + 2, j : j + 2].reshape(4, -1)
      for i in range(0, x.shape[1], 2)
      for j in range(0, x.shape[2], 2)
    ]
    keys = np.stack([(pixels @ key).max(0) for pixels in squares])
    values = np.stack([(pixels @ value).max(0) for pixels in squares])
    for i, j in np.ndindex(x.shape[1:3]):
      weights = np.exp(keys @ (example[i, j] @ query))
      seen = (weights / weights.sum()) @ values
      out[i, j] += float(params['gamma']) * seen @ output
  return y


def test_self_attention_is_the_sum_over_all_pixels():
  x = normal(2, 4, 6, 16)
  layer = layers.SelfAttention()
  variables = made(layer, x)
  kernels = jax.tree.map(lambda v: v - 0.9 * (v.ndim > 0), variables['params'])
  y = jax.jit(layer.apply)({'params': kernels}, x)
  expected = attended(x, kernels)
  np.testing.assert_allclose(y, expected, rtol=1e-4, atol=1e-4)
  assert np.abs(expected - x).max() > 1
  shapes = [kernels[name]['kernel'].shape for name in ('query', 'value')]
  assert shapes == [(16, 2), (16, 8)]


def test_scores_of_self_attention_are_float32():
  x = np.zeros((1, 2, 4, 16), np.float32)
  # Queries of 15 and 1 meet a key of 17 and 0 and one of 17 and 1/2: scores of
  # 255 and 255.5, between which bfloat16 has nothing.
  x[..., :3] = 15, 1, 17
  x[:, :, 2:, 3:5] = 0.5, 1
  layer = layers.SelfAttention(dtype=jnp.bfloat16)
  params = jax.tree.map(np.zeros_like, made(layer, jnp.asarray(x))['params'])
  for name, rows in {'query': (0, 1), 'key': (2, 3), 'value': (4,)}.items():
    params[name]['kernel'][rows, range(len(rows))] = 1
  params['output']['kernel'][0, 5] = 1
  y = layer.apply({'params': {**params, 'gamma': jnp.ones(())}}, jnp.asarray(x))
  # Where there was nothing is now the share of the second key.
  share = np.asarray(y[..., 5], float)
  np.testing.assert_allclose(share, 1 / (1 + np.exp(-0.5)), rtol=1e-2)


def test_self_attention_starts_as_the_identity():
  x = normal(2, 4, 4, 3)  # fewer channels than a query takes an eighth of
  y, variables = jax.jit(layers.SelfAttention().init_with_output)(
    jax.random.key(0), x
  )
  np.testing.assert_array_equal(y, x)
  assert float(variables['params']['gamma']) == 0


def test_self_attention_of_odd_sizes_is_refused():
  with pytest.raises(ValueError, match='must be even, got 4 and 5'):
    layers.SelfAttention().init(jax.random.key(0), jnp.zeros((1, 4, 5, 8)))


# spatial sizes, kernel, strides
CONVOLUTIONS = [
  ((7,), (25,), (4,)),  # WaveGAN's
  ((5,), (4,), (3,)),
  ((3, 5), (4, 4), (2, 2)),
  ((4, 3), (5, 5), (2, 2)),
  ((5, 4), (3, 3), (1, 1)),
  ((3,), (3,), (3,)),
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


def test_second_derivatives_of_conv_transpose():
  x, w = normal(2, 2, 3, 2), normal(4, 3, 2, 3, seed=1)
  strides = (2, 1)

  def reference(x, w, strides):
    names = ('NHWC', 'HWIO', 'NHWC')
    return lax.conv_transpose(x, w, strides, 'SAME', dimension_numbers=names)

  def penalty(convolve, x, w):
    slope = jax.grad(lambda x: jnp.sin(convolve(x, w, strides)).sum())(x)
    return (slope**2).mean()

  got, expected = jax.jit(
    lambda x, w: [
      jax.grad(penalty, (1, 2))(convolve, x, w)
      for convolve in (convolutions.conv_transpose, reference)
    ]
  )(x, w)
  assert_close(got, expected, 1e-4)


@pytest.mark.parametrize(('groups', 'kernel'), [(1, (3, 3)), (3, (2, 5))])
def test_grouped_conv_is_flaxs(groups, kernel):
  assert_same(
    layers.GroupedConv(9, kernel, groups),
    nn.Conv(9, kernel, feature_group_count=groups, use_bias=False),
    normal(2, 5, 4, 6),
    {},
  )


@pytest.mark.parametrize(
  ('kernel', 'strides'), [((1,), (2,)), ((4, 2), (2, 3))]
)
def test_kernel_smaller_than_the_stride_is_refused(kernel, strides):
  layer = layers.ConvTranspose(3, kernel, strides)
  x = jnp.zeros((1, *[4] * len(kernel), 2))
  message = r'conv_transpose: a kernel of \(.*\) is smaller than the strides'
  with pytest.raises(ValueError, match=message):
    jax.eval_shape(layer.init, jax.random.key(0), x)


@pytest.mark.parametrize(
  ('module', 'args', 'flags'),
  [
    (layers.BatchNorm(dtype=jnp.bfloat16), (X, False), {}),
    (
      layers.ConditionalBatchNorm(dtype=jnp.bfloat16),
      (X, jnp.ones((1, 3)), False),
      {},
    ),
    (layers.ConvTranspose(3, (4, 4), (2, 2), dtype=jnp.bfloat16), (X,), {}),
    (layers.GroupedConv(3, (3, 3), 1, dtype=jnp.bfloat16), (X,), {}),
    (layers.SelfAttention(dtype=jnp.bfloat16), (X,), {}),
    (
      layers.SpectralNorm(nn.Conv(3, (3, 3), dtype=jnp.bfloat16)),
      (X,),
      {'update_stats': True},
    ),
  ],
)
def test_computation_in_bfloat16_keeps_float32_variables(module, args, flags):
  y, variables = jax.eval_shape(
    lambda key: module.init_with_output(key, *args, **flags),
    jax.random.key(0),
  )
  assert y.dtype == jnp.bfloat16
  assert {v.dtype.name for v in jax.tree.leaves(variables)} == {'float32'}


@pytest.mark.parametrize('rate', [0.0, 0.3])
def test_dropout_is_that_of_flax(rate):
  x, key = normal(6, 4, 4, 5), jax.random.key(1)
  ours, theirs = (
    layer.apply({}, x, deterministic=False, rngs={'dropout': k})
    for layer, k in (
      (layers.Dropout(rate), key),
      (nn.Dropout(rate), jax.random.clone(key)),
    )
  )
  np.testing.assert_allclose(ours, theirs, rtol=1e-6)
  assert float((ours == 0).mean()) == pytest.approx(rate, abs=0.05)
  still = layers.Dropout(rate).apply({}, x, deterministic=True)
  np.testing.assert_array_equal(still, x)


@pytest.mark.parametrize('rate', [-0.1, 1.0])
def test_dropout_leaves_something(rate):
  with pytest.raises(ValueError, match=f'not including 1, got {rate}'):
    layers.Dropout(rate).init(jax.random.key(0), normal(2), deterministic=True)


def test_one_hot_labels():
  got = layers.one_hot(jnp.array([2, 0, 3, -1]), 3)
  outside = [0, 0, 0]
  np.testing.assert_array_equal(got, [[0, 0, 1], [1, 0, 0], outside, outside])
  with pytest.raises(ValueError, match=r"num_classes=3 .* needs a 'label'"):
    layers.one_hot(None, 3)


@pytest.mark.parametrize('label', [jnp.eye(3), jnp.array([0.5, 1.0])])
def test_labels_that_are_no_integers_are_refused(label, monkeypatch):
  monkeypatch.setattr(jaxtyping.config, 'jaxtyping_disable', True)
  with pytest.raises(ValueError, match=r"needs a 'label'.*got float32\["):
    layers.one_hot(label, 3)


def test_labels_with_an_axis_of_their_own_are_refused():
  with pytest.raises(ValueError, match=r'as \[n\]; got int32\[4, 1\]'):
    layers.one_hot(jnp.zeros((4, 1), jnp.int32), 3)
  packed = layers.one_hot(jnp.zeros((4, 2), jnp.int32), 3)
  assert packed.shape == (4, 2, 3)


@pytest.mark.parametrize(
  'make', [nn.GRUCell, nn.OptimizedLSTMCell], ids=['gru', 'lstm']
)
def test_recurrent_is_flaxs_rnn(make):
  class Ours(nn.Module):
    @nn.compact
    def __call__(self, x):
      return layers.recurrent(make(3, name='cell'), x)

  class Flaxs(nn.Module):
    @nn.compact
    def __call__(self, x):
      return nn.RNN(make(3, name='cell'))(x)

  assert_same(Ours(), Flaxs(), normal(4, 5, 2).astype(jnp.float32), {})


def test_recurrent_runs_where_devices_differ():
  class Network(nn.Module):
    @nn.compact
    def __call__(self, x):
      return layers.recurrent(nn.GRUCell(3), x)

  x = normal(4, 5, 2).astype(jnp.float32)
  variables = made(Network(), x)
  divided = jax.shard_map(
    Network().apply,
    mesh=jgan.sharding.data_mesh(jax.devices()[:2]),
    in_specs=(P(), P('batch')),
    out_specs=P('batch'),
  )
  got = jax.jit(divided)(variables, x)
  assert_close(got, jax.jit(Network().apply)(variables, x), 1e-6)


def test_batch_norm_of_a_constant_is_its_bias_whatever_rounding_says():
  constants = 1e3 * np.random.default_rng(0).uniform(1, 2, 64)
  x = jnp.broadcast_to(jnp.float32(constants)[None], (96, 64))
  rounded = (x**2).mean(0) - x.mean(0) ** 2
  assert float(rounded.min()) < -1e-4
  y, _ = layers.BatchNorm().init_with_output(jax.random.key(0), x, False)
  assert np.isfinite(y).all()


@pytest.mark.parametrize('momentum', [0.25, 0.99])
def test_epsilon_and_momentum_are_the_callers(momentum):
  x = np.float32([[[1.0, 5.0]], [[3.0, 9.0]], [[1.0, 5.0]], [[3.0, 9.0]]])
  x = np.concatenate([x, x + 2], 1)  # variances of 2 and 5 of the batch
  given, condition = jnp.asarray(x), jnp.zeros((4, 3))
  norm = layers.ConditionalBatchNorm(momentum=momentum, epsilon=7.0)
  variables = norm.init(jax.random.key(0), given, condition, False)
  y, after = norm.apply(
    variables, given, condition, False, mutable=['batch_stats']
  )
  expected = (x - x.mean((0, 1), keepdims=True)) / np.sqrt([9.0, 12.0])
  np.testing.assert_allclose(y, expected, rtol=1e-5)
  (statistics,) = after['batch_stats'].values()
  np.testing.assert_allclose(
    statistics['mean'], (1 - momentum) * x.mean((0, 1)), rtol=1e-5
  )
  # Of each example by itself both channels have a variance of 1.
  y, _ = layers.InstanceNorm(epsilon=3.0).init_with_output(
    jax.random.key(0), given
  )
  expected = (x - x.mean(1, keepdims=True)) / 2
  np.testing.assert_allclose(y, expected, rtol=1e-5)
