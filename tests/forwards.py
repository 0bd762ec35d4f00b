"""Layers in numpy, of which tests put a paper's networks together again.

Each takes a layer's params by Linen's names, and arrays in float64.
"""

import sys
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np


def normal(*shape, seed=1):
  draws = np.random.default_rng(seed)
  return jnp.asarray(draws.normal(size=shape), jnp.float32)


def made(module, *inputs, **options):
  """Variables in a module's form, of values that hide nothing."""
  init = partial(module.init, **options)
  form = jax.eval_shape(init, jax.random.key(0), *inputs)
  draws = np.random.default_rng(0)

  def value(path, x):
    fan_in = np.prod(x.shape[:-1]) if path[-1].key == 'kernel' else 1
    drawn = draws.normal(size=x.shape) / np.sqrt(fan_in)
    positive = path[-1].key == 'var'
    return np.asarray(abs(drawn) + 0.1 if positive else drawn, np.float32)

  return jax.tree_util.tree_map_with_path(value, form)


def outputs(module, variables, *inputs, **options):
  """What a module computes, without its new collections."""
  apply = partial(module.apply, mutable=['batch_stats'], **options)
  return jax.device_get(jax.jit(apply)(variables, *inputs)[0])


def assert_computes(module, variables, inputs, expected, **options):
  got = outputs(module, variables, *inputs, **options)
  np.testing.assert_allclose(got, expected, rtol=2e-3, atol=2e-4)


def relu(x):
  return np.maximum(x, 0)


def leaky_relu(x, slope=0.2):
  return np.where(x > 0, x, slope * x)


def sigmoid(x):
  return 1 / (1 + np.exp(-x))


def dense(params, x):
  return np.asarray(x, float) @ params['kernel'] + params.get('bias', 0)


def conv(params, x, stride=1, padding='SAME'):
  """Along one axis or two; padding before and after, or 'SAME'."""
  x, kernel = np.asarray(x, float), np.asarray(params['kernel'], float)
  axes = tuple(range(1, x.ndim - 1))
  pads = []
  for size, taps in zip(x.shape[1:-1], kernel.shape[:-2], strict=True):
    missing = max((-(-size // stride) - 1) * stride + taps - size, 0)
    same = missing // 2, missing - missing // 2
    pads.append(same if padding == 'SAME' else padding)
  x = np.pad(x, [(0, 0), *pads, (0, 0)])
  windows = np.lib.stride_tricks.sliding_window_view(x, kernel.shape[:-2], axes)
  windows = windows[(slice(None), *[slice(None, None, stride)] * len(axes))]
  kernel = np.moveaxis(kernel, -2, 0)
  y = np.tensordot(windows, kernel, len(axes) + 1)
  return y + params.get('bias', 0)


def grow(params, x, stride=2):
  """Transposed convolution, 'SAME': one over an input with zeros between."""
  x, taps = np.asarray(x, float), params['kernel'].shape[0]
  n, *sizes, channels = x.shape
  apart = np.zeros((n, *[(s - 1) * stride + 1 for s in sizes], channels))
  apart[(slice(None), *[slice(None, None, stride)] * len(sizes))] = x
  missing = taps + stride - 2
  before = taps - 1 if stride > taps - 1 else -(-missing // 2)
  return conv(params, apart, padding=(before, missing - before))


def batch_norm(params, x, statistics=None, epsilon=1e-5):
  """By the batch's moments, or the running `statistics`."""
  axes = tuple(range(x.ndim - 1))
  mean, var = x.mean(axes), x.var(axes)
  if statistics is not None:
    mean, var = statistics['mean'], statistics['var']
  y = (x - mean) / np.sqrt(var + epsilon)
  return y * params.get('scale', 1) + params.get('bias', 0)


def instance_norm(params, x, epsilon=1e-5):
  axes = tuple(range(1, x.ndim - 1))
  mean, var = x.mean(axes, keepdims=True), x.var(axes, keepdims=True)
  return (x - mean) / np.sqrt(var + epsilon) * params['scale'] + params['bias']


def doubled(x):
  return x.repeat(2, axis=1).repeat(2, axis=2)


def halved(x):
  rows = (x[:, ::2] + x[:, 1::2]) / 2
  return (rows[:, :, ::2] + rows[:, :, 1::2]) / 2


def up_block(params, x, norm):
  """`norm(number, x)` of a residual block that doubles a picture."""
  y = conv(params['Conv_0'], doubled(relu(norm(0, x))))
  y = conv(params['Conv_1'], relu(norm(1, y)))
  return y + conv(params['Conv_2'], doubled(x))


def first_block(params, x):
  """The block of a discriminator that sees the picture as it is."""
  y = conv(params['Conv_1'], relu(conv(params['Conv_0'], x)))
  return halved(y) + halved(conv(params['Conv_2'], x))


def plain_block(params, x):
  y = conv(params['Conv_0'], relu(x))
  return conv(params['Conv_1'], relu(y)) + x


def unwrap(monkeypatch, module):
  """Has the networks in a module's file do without spectral norms."""
  file = sys.modules[module.__module__]
  monkeypatch.setattr(file, 'spectral', lambda layer, *, train: layer)
