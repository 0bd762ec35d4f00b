"""Convolutions, and derivatives of their derivatives, against XLA's."""

import functools
import math

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from games import assert_close
from jax import lax
from jax.sharding import PartitionSpec as P

from jgan import sharding
from jgan.convolutions import (
  conv2d,
  conv_transpose,
  grouped_conv,
  pointwise,
  strided_conv,
)


def reference(x, kernel, stride):
  return lax.conv_general_dilated(
    x, kernel, (stride,), 'SAME', dimension_numbers=('NWC', 'WIO', 'NWC')
  )


def operands(steps, taps, n=2, channels=3, features=4):
  rng = np.random.default_rng(0)
  x = rng.standard_normal((n, steps, channels)).astype(np.float32)
  kernel = rng.standard_normal((taps, channels, features)).astype(np.float32)
  return jnp.asarray(x), jnp.asarray(kernel / taps)


def test_by_hand():
  x = jnp.array([1.0, 2, 3, 4])[None, :, None]
  kernel = jnp.array([1.0, 10, 100])[:, None, None]
  # One zero is missing, and it comes after: 1 + 20 + 300, and 3 + 40.
  np.testing.assert_array_equal(strided_conv(x, kernel, 2).ravel(), [321, 43])


@pytest.mark.parametrize(
  ('steps', 'taps', 'stride'),
  [(32, 25, 4), (16, 25, 2), (12, 5, 3), (8, 4, 4), (8, 3, 1), (6, 6, 2)],
)
def test_values_are_those_of_xla(steps, taps, stride):
  x, kernel = operands(steps, taps)
  got = strided_conv(x, kernel, stride)
  assert got.shape == (2, steps // stride, 4)
  assert_close(got, reference(x, kernel, stride), 1e-5)


@pytest.mark.parametrize('conv_of', ['input', 'kernel'])
def test_derivatives_of_derivatives_are_those_of_xla(conv_of):
  x, kernel = operands(16, 5)

  def penalty(conv):
    """Of the slope with respect to one operand, derived by both."""

    def value(x, kernel):
      return jnp.tanh(conv(x, kernel, 2)).sum()

    slope = jax.grad(value, 0 if conv_of == 'input' else 1)
    return jax.grad(lambda *a: (slope(*a) ** 3).sum(), (0, 1))

  got, expected = jax.jit(
    lambda *a: (penalty(strided_conv)(*a), penalty(reference)(*a))
  )(x, kernel)
  for one, other in zip(got, expected, strict=True):
    scale = jnp.abs(other).max()
    assert scale > 0.1
    assert_close(one / scale, other / scale, 1e-5)


def test_a_penaltys_gradient_has_no_convolution_that_xla_has_no_code_for():
  x, kernel = operands(16, 5)

  def penalty(kernel):
    slope = jax.grad(lambda x: jnp.tanh(strided_conv(x, kernel, 2)).sum())
    return (slope(x) ** 2).sum()

  program = jax.jit(jax.grad(penalty)).lower(kernel).compile().as_text()
  assert ' convolution(' in program
  for slow in ('rhs_reversal', 'lhs_dilate', 'rhs_dilate'):
    assert slow not in program


@pytest.mark.parametrize('check', [True, False])
def test_over_devices_gradients_are_those_of_one(check):
  x, kernel = operands(8, 3, n=4)

  def penalty(x, kernel):
    slope = jax.grad(lambda x: jnp.tanh(strided_conv(x, kernel, 2)).sum())
    return (slope(x) ** 2).sum()

  def over_devices(x, kernel):
    of_kernel = sharding.varying(kernel, 'batch') if check else kernel
    grads = jax.grad(penalty, (0, 1))(x, of_kernel)
    # With x alone varying too, as in a generator's move.
    return grads[0], lax.psum(grads[1], 'batch'), jax.grad(penalty)(x, kernel)

  mesh = jax.make_mesh(
    (2,), ('batch',), axis_types=(jax.sharding.AxisType.Auto,)
  )
  spread, whole = P('batch'), P()
  got = jax.jit(
    jax.shard_map(
      over_devices,
      mesh=mesh,
      in_specs=(spread, whole),
      out_specs=(spread, whole, spread),
      check_vma=check,
    )
  )(x, kernel)
  of_x, of_kernel = jax.jit(jax.grad(penalty, (0, 1)))(x, kernel)
  scale = jnp.abs(of_kernel).max()
  assert_close(got[0], of_x, 1e-5)
  assert_close(got[1] / scale, of_kernel / scale, 1e-5)
  assert_close(got[2], of_x, 1e-5)


def test_bfloat16_stays():
  x, kernel = (jnp.asarray(a, jnp.bfloat16) for a in operands(8, 5))
  assert strided_conv(x, kernel, 2).dtype == jnp.bfloat16


@pytest.mark.parametrize(('steps', 'stride'), [(9, 2), (12, 6)])
def test_what_does_not_divide_is_told(steps, stride):
  x, kernel = operands(steps, 5)
  with pytest.raises(ValueError, match=f'{steps}.* number of taps, 5; got'):
    strided_conv(x, kernel, stride)


def grouped_reference(x, kernel):
  names = ('NHWC', 'HWIO', 'NHWC')
  return lax.conv_general_dilated(
    x, kernel, (1, 1), 'SAME', dimension_numbers=names, feature_group_count=2
  )


def penalty_of(conv):
  """Gradients, by both operands, of a penalty on the slope at the pictures."""

  def penalty(x, kernel):
    slope = jax.grad(lambda x: jnp.tanh(conv(x, kernel)).sum())
    return (slope(x) ** 2).sum()

  return jax.grad(penalty, (0, 1))


def grouped_operands():
  rng = np.random.default_rng(0)
  shapes = (4, 5, 4, 6), (3, 3, 3, 4)
  return [jnp.asarray(rng.standard_normal(s), jnp.float32) for s in shapes]


def two_groups(x, kernel):
  return grouped_conv(x, kernel, 2)


def test_derivatives_of_derivatives_of_groups_are_those_of_xla():
  got, expected = jax.jit(
    lambda *a: [penalty_of(f)(*a) for f in (two_groups, grouped_reference)]
  )(*grouped_operands())
  for one, other in zip(got, expected, strict=True):
    scale = jnp.abs(other).max()
    assert scale > 0.1
    assert_close(one / scale, other / scale, 1e-5)


def test_on_a_cpu_and_nowhere_else_groups_are_convolutions_of_their_own():
  def program(*platforms):
    traced = jax.jit(penalty_of(two_groups)).trace(*grouped_operands())
    return traced.lower(lowering_platforms=platforms).as_text()

  grouped = 'feature_group_count = 2', 'batch_group_count = 2'
  assert not any(of in program('cpu') for of in grouped)
  assert all(of in program('cuda') for of in grouped)


def halved(x, kernel):
  return conv2d(x, kernel[:, :, :, :2].repeat(2, 2), (2, 2))


def doubled(x, kernel):
  return conv_transpose(x, kernel.repeat(2, 2), (2, 2))


def in_phases(x, kernel):
  return doubled(x, kernel.repeat(8, 3))


def enlarged(x, kernel):
  return conv2d(x[:, :2, :2], kernel.repeat(2, 2))


def test_barriers_are_around_kernel_gradients_where_they_are_of_use():
  def program(platform, taps):
    x, kernel = jnp.ones((2, 8, 8, 3)), jnp.ones((taps, taps, 3, 4))
    slope = jax.grad(lambda kernel: conv2d(x, kernel, (2, 2)).sum())
    traced = jax.jit(slope).trace(kernel)
    return traced.lower(lowering_platforms=(platform,)).as_text()

  for taps in 3, 4:
    assert program('cpu', taps).count('optimization_barrier') == 2
    assert 'optimization_barrier' not in program('tpu', taps)
  # 'SAME' of three taps is one zero after, and none before.
  assert program('cuda', 3).count('optimization_barrier') == 1
  assert 'optimization_barrier' not in program('cuda', 4)


@pytest.mark.parametrize('channels', [4, 16])  # with gaps, and in phases
def test_the_kernel_of_a_transposed_convolution_is_used_as_it_is(channels):
  x, kernel = jnp.ones((2, 8, 8, 8)), jnp.ones((4, 4, 8, channels))
  doubled = functools.partial(conv_transpose, strides=(2, 2))
  program = jax.jit(doubled).lower(x, kernel).compile().as_text()
  assert program.count(' convolution(') == (1 if channels == 4 else 4)
  assert ' reverse(' not in program


@pytest.mark.parametrize('size', [3, 4])
@pytest.mark.parametrize('channels', [3, 16])
def test_on_a_cpu_no_operands_are_swapped_where_taps_outnumber_pixels(
  size, channels
):
  """XLA swaps them otherwise: its CPU backend has no quick code for that."""
  x, kernel = jnp.ones((2, size, size, channels)), jnp.ones((5, 5, channels, 8))

  @jax.jit
  def slopes(x, kernel):
    return jax.grad(lambda *a: (conv2d(*a, (2, 2)) ** 2).sum(), (0, 1))(
      x, kernel
    )

  program = slopes.lower(x, kernel).compile().as_text()
  assert ' convolution(' in program
  assert 'rhs_reversal' not in program


def test_gaps_are_phases_on_a_cpu_and_turned_kernels_on_a_gpu():
  kernel, y = jnp.ones((4, 4, 16, 16)), jnp.ones((2, 8, 8, 16))

  def program(platform):
    doubled = functools.partial(conv_transpose, strides=(2, 2))
    traced = jax.jit(doubled).trace(y, kernel)
    return traced.lower(lowering_platforms=(platform,)).as_text()

  assert 'lhs_dilate = [2, 2]' not in program('cpu')
  for platform in 'cuda', 'rocm', 'tpu':
    assert program(platform).count('stablehlo.convolution') == 1
    assert 'lhs_dilate = [2, 2]' in program(platform)
    # Turned, held, and turned again: so XLA sees it being turned.
    held = platform != 'tpu'
    assert program(platform).count('optimization_barrier') == held
    assert program(platform).count('stablehlo.reverse') == 2


@pytest.mark.parametrize('strides', [(1, 1), (2, 2)])
def test_small_pictures_are_enlarged_where_it_is_of_use(strides):
  x, kernel = jnp.ones((2, 3, 3, 3)), jnp.ones((5, 5, 3, 8))

  def enlarged(platform, function):
    traced = jax.jit(function).trace(x)
    program = traced.lower(lowering_platforms=(platform,)).as_text()
    return 'stablehlo.pad' in program

  def forward(x):
    return conv2d(x, kernel, strides)

  def slope(x):
    return jax.grad(lambda x: conv2d(x, kernel, strides).sum())(x)

  assert enlarged('cpu', forward)
  assert enlarged('cpu', slope)
  assert not enlarged('cuda', forward)
  assert enlarged('cuda', slope) == (max(strides) > 1)
  assert not enlarged('tpu', forward)
  assert not enlarged('tpu', slope)


@pytest.mark.parametrize(
  'conv', [two_groups, halved, doubled, in_phases, enlarged]
)
@pytest.mark.parametrize('check', [True, False])
def test_over_devices_gradients_of_pictures_are_those_of_one(conv, check):
  x, kernel = grouped_operands()

  def over_devices(x, kernel):
    own = sharding.varying(kernel, 'batch') if check else kernel
    of_x, of_kernel = penalty_of(conv)(x, own)
    # With x alone varying too, as in a generator's move.
    return of_x, lax.psum(of_kernel, 'batch'), penalty_of(conv)(x, kernel)[0]

  mesh = jax.make_mesh(
    (2,), ('batch',), axis_types=(jax.sharding.AxisType.Auto,)
  )
  spread, whole = P('batch'), P()
  got = jax.jit(
    jax.shard_map(
      over_devices,
      mesh=mesh,
      in_specs=(spread, whole),
      out_specs=(spread, whole, spread),
      check_vma=check,
    )
  )(x, kernel)
  expected = jax.jit(penalty_of(conv))(x, kernel)
  for one, other in zip(got, (*expected, expected[0]), strict=True):
    scale = jnp.abs(other).max()
    assert_close(one / scale, other / scale, 1e-5)


@pytest.mark.parametrize(('groups', 'features'), [(3, 6), (2, 5), (6, 6)])
def test_groups_that_do_not_divide_are_told(groups, features):
  x, kernel = jnp.zeros((1, 4, 4, 6)), jnp.zeros((3, 3, 3, features))
  with pytest.raises(ValueError, match=f'grouped_conv: {groups} groups must'):
    grouped_conv(x, kernel, groups)


def test_pointwise_is_the_convolution_of_a_kernel_of_one_pixel():
  rng = np.random.default_rng(0)
  x = jnp.asarray(rng.standard_normal((2, 5, 4, 3)), jnp.float32)
  plain, quick = (
    nn.Conv(6, (1, 1), conv_general_dilated=how) for how in (None, pointwise)
  )
  variables = plain.init(jax.random.key(0), x)

  def penalty(layer):
    def slopes(variables):
      grad = jax.grad(lambda x: jnp.tanh(layer.apply(variables, x)).sum())
      return (grad(x) ** 2).sum()

    return jax.jit(jax.value_and_grad(slopes))

  assert_close(quick.apply(variables, x), plain.apply(variables, x), 1e-6)
  jax.tree.map(
    lambda one, other: np.testing.assert_allclose(one, other, 1e-4, 1e-4),
    penalty(quick)(variables),
    penalty(plain)(variables),
  )
  program = penalty(quick).lower(variables).compile().as_text()
  assert ' convolution(' not in program


PICTURES = [  # sizes, taps, strides, padding
  ((8, 6), (4, 4), (2, 2), 'SAME'),
  ((7, 5), (4, 3), (2, 2), 'SAME'),
  ((7, 6), (3, 3), (2, 2), 'VALID'),  # a row that nothing looks at
  ((6, 6), (4, 4), (2, 1), ((1, 1), (1, 1))),
  ((5, 4), (3, 3), (1, 1), 'SAME'),
  ((4, 4), (5, 5), (2, 2), 'SAME'),  # more taps than pixels
  ((2, 2), (3, 3), (1, 1), 'SAME'),
  ((2, 3), (5, 4), (2, 1), 'SAME'),
  ((1, 2), (4, 5), (2, 2), ((2, 1), (1, 3))),
  ((9, 7), (5, 4), (3, 2), ((6, 0), (3, 1))),  # zeros that no pixel is near
  ((8, 6), (1, 1), (2, 2), 'SAME'),
]


def picture_operands(sizes, taps, channels):
  rng = np.random.default_rng(0)
  shapes = (2, *sizes, channels), (*taps, channels, 4)
  x, kernel = (jnp.asarray(rng.standard_normal(s), jnp.float32) for s in shapes)
  return x, kernel / math.sqrt(math.prod(kernel.shape[:-1]))


def pictures_reference(strides, padding):
  return lambda x, kernel: lax.conv_general_dilated(
    x, kernel, strides, padding, dimension_numbers=('NHWC', 'HWIO', 'NHWC')
  )


@pytest.mark.parametrize('channels', [3, 16])
@pytest.mark.parametrize(('sizes', 'taps', 'strides', 'padding'), PICTURES)
def test_pictures_are_those_of_xla_and_flax(
  sizes, taps, strides, padding, channels
):
  x, kernel = picture_operands(sizes, taps, channels)
  got = conv2d(x, kernel, strides, padding)
  assert_close(got, pictures_reference(strides, padding)(x, kernel), 1e-5)
  layer, plain = (
    nn.Conv(4, taps, strides, padding, use_bias=False, **conv)
    for conv in ({'conv_general_dilated': conv2d}, {})
  )
  variables = {'params': {'kernel': kernel}}
  assert_close(layer.apply(variables, x), plain.apply(variables, x), 1e-5)


@pytest.fixture(params=['cpu', 'cuda', 'tpu'])
def platform(request, monkeypatch):
  """Whose way of computing is taken, although a CPU does it."""

  def of_platform(*operands, default, **ways):
    return ways.get(request.param, default)(*operands)

  monkeypatch.setattr(lax, 'platform_dependent', of_platform)
  return request.param


@pytest.mark.parametrize('channels', [3, 16])
@pytest.mark.parametrize(('sizes', 'taps', 'strides', 'padding'), PICTURES)
@pytest.mark.usefixtures('platform')
def test_derivatives_of_pictures_to_the_third(
  sizes, taps, strides, padding, channels
):
  """Slopes, gradients of a penalty on them, and a penalty on those."""

  def derivatives(conv):
    def second(x, kernel):
      return sum((g**2).sum() for g in penalty_of(conv)(x, kernel))

    def first(x, kernel):
      return jnp.tanh(conv(x, kernel)).sum()

    return lambda x, kernel: [
      jax.grad(first, (0, 1))(x, kernel),
      penalty_of(conv)(x, kernel),
      jax.grad(second, (0, 1))(x, kernel),
    ]

  def ours(x, kernel):
    return conv2d(x, kernel, strides, padding)

  xla = pictures_reference(strides, padding)
  operands = picture_operands(sizes, taps, channels)
  got, expected = jax.jit(lambda *a: [derivatives(f)(*a) for f in (ours, xla)])(
    *operands
  )
  for one, other in zip(
    jax.tree.leaves(got), jax.tree.leaves(expected), strict=True
  ):
    scale = jnp.abs(other).max()
    assert scale > 0.01
    assert_close(one / scale, other / scale, 1e-5)


@pytest.mark.parametrize('conv', [halved, doubled])
def test_no_kernel_gradient_of_a_penalty_is_over_a_dilated_input(conv):
  """For which XLA's CPU backend has no code that is quick."""
  program = jax.jit(penalty_of(conv)).lower(*grouped_operands()).as_text()
  lines = [line for line in program.splitlines() if 'convolution(' in line]
  to_kernel = [line for line in lines if '[f, 0, 1, b]x[i, 0, 1, o]' in line]
  assert len(to_kernel) == 2
  assert not any('lhs_dilate = [2, 2]' in line for line in to_kernel)
