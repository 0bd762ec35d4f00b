"""Residual blocks against numpy, one operation after the other."""

from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from games import assert_close

from jgan.models import resnet


def normal(*shape, seed=0):
  return np.random.default_rng(seed).normal(size=shape).astype('float32')


def made(block, x):
  """Variables in the block's form, of values that hide nothing."""
  form = jax.eval_shape(block.init, jax.random.key(0), x)
  leaves, structure = jax.tree.flatten(form)
  values = [normal(*x.shape, seed=i + 1) for i, x in enumerate(leaves)]
  return jax.tree.unflatten(structure, values)


def conv(x, params):
  """Zeros around, then every pixel's neighbours times the kernel's taps."""
  kernel, margin = params['kernel'], params['kernel'].shape[0] // 2
  padded = np.pad(x, [(0, 0), (margin, margin), (margin, margin), (0, 0)])
  h, w = x.shape[1:3]
  y = sum(
    padded[:, i : i + h, j : j + w] @ kernel[i, j]
    for i, j in np.ndindex(kernel.shape[:2])
  )
  return y + params.get('bias', 0)


def doubled(x):
  return x.repeat(2, axis=1).repeat(2, axis=2)


def halved(x):
  rows = (x[:, ::2] + x[:, 1::2]) / 2
  return (rows[:, :, ::2] + rows[:, :, 1::2]) / 2


def relu(x):
  return np.maximum(x, 0)


def assert_computes(block, x, expected):
  """`expected(x, params by layer)` in the paper's order."""
  variables = made(block, x)
  y = jax.jit(block.apply)(variables, x)
  assert_close(y, jnp.asarray(expected(x, variables['params'])), 1e-4)


def test_up_block():
  def expected(x, params):
    y = conv(doubled(relu(x - 0.5)), params['Conv_0'])
    y = conv(relu(y - 0.5), params['Conv_1'])
    return y + conv(doubled(x), params['Conv_2'])

  block = resnet.UpBlock(3, norm=lambda x: x - 0.5)
  assert_computes(block, normal(2, 4, 2, 5), expected)


def test_down_block():
  def expected(x, params):
    y = conv(relu(conv(relu(x), params['Conv_0'])), params['Conv_1'])
    return halved(y) + halved(conv(x, params['Conv_2']))

  x = normal(2, 4, 6, 5)
  assert_computes(resnet.DownBlock(3), x, expected)
  narrow = made(resnet.DownBlock(3, hidden=2), x)['params']
  assert narrow['Conv_0']['kernel'].shape == (3, 3, 5, 2)
  assert narrow['Conv_1']['kernel'].shape == (3, 3, 2, 3)


def test_first_block_sees_the_whole_picture():
  def expected(x, params):
    y = conv(relu(conv(x, params['Conv_0'])), params['Conv_1'])
    return halved(y) + conv(halved(x), params['Conv_2'])

  block = resnet.DownBlock(3, before=lambda x: x)
  assert_computes(block, normal(2, 4, 4, 5), expected)


def test_plain_block():
  def expected(x, params):
    y = conv(relu(conv(relu(x), params['Conv_0'])), params['Conv_1'])
    return y + (conv(x, params['Conv_2']) if 'Conv_2' in params else x)

  assert_computes(resnet.PlainBlock(5), normal(2, 4, 4, 5), expected)
  assert_computes(resnet.PlainBlock(3), normal(2, 4, 4, 5), expected)


@pytest.mark.parametrize(
  'kind',
  [
    partial(resnet.UpBlock, norm=lambda x: x - 0.5),
    resnet.DownBlock,
    resnet.PlainBlock,
  ],
)
def test_every_convolution_is_wrapped(kind):
  def half(*args, **options):
    wrap = lambda layer: lambda x: layer(x) / 2  # noqa: E731
    return resnet.conv(*args, wrap=wrap, **options)

  plain, wrapped = kind(4), kind(4, conv=half)
  x = jnp.asarray(normal(2, 4, 4, 5))
  variables = made(plain, x)
  halves = jax.tree.map(lambda v: v / 2, variables)
  expected = jax.jit(plain.apply)(halves, x)
  assert_close(jax.jit(wrapped.apply)(variables, x), expected, 1e-5)


@pytest.mark.parametrize(('size', 'gain'), [(3, np.sqrt(2)), (1, 1)])
def test_kernels_start_uniform_with_the_gain_of_their_place(size, gain):
  x = jnp.zeros((1, 4, 4, 5))
  kernel = resnet.conv(40, size).init(jax.random.key(0), x)['params']['kernel']
  bound = gain * np.sqrt(6 / (size**2 * (5 + 40)))
  assert 0.97 < np.abs(kernel).max() / bound <= 1


def test_halving_leaves_out_odd_rows():
  x = jnp.asarray(normal(2, 5, 7, 3))
  assert_close(resnet.halve(x), nn.avg_pool(x, (2, 2), (2, 2)))
