"""Convolutions whose derivatives of any order are quick on CPUs.

XLA gives the derivatives of `lax.conv_general_dilated` as convolutions over
dilated inputs, with reversed windows or in groups, for which its CPU backend
has no fast code. Here they are convolutions that it is fast at; the results are
the same to rounding.
"""

import functools

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from jgan import sharding


def strided_conv(
  x: Float[Array, 'n t c'], kernel: Float[Array, 'k c d'], stride: int
) -> Float[Array, 'n shrunk d']:
  """A convolution along time, padding 'SAME', whose stride divides the steps.

  The function of `lax.conv_general_dilated(x, kernel, (stride,), 'SAME')` on
  such inputs, as a convolution of stride 1: as many steps as the stride has
  lie side by side as channels of one, and the taps of the kernel likewise. Its
  derivatives are plain convolutions, to any order of reverse mode (`jax.grad`
  of `jax.grad`, not `jax.jvp`); by XLA's, the gradient of a gradient penalty
  took twenty times as long as its arithmetic.

  Args:
    x: steps in time, a multiple of the stride.
    kernel: taps, channels in, and channels out, as Linen keeps it.
    stride: from 1 to the number of taps.

  Returns:
    An array of `t / stride` steps.

  Raises:
    ValueError: if the steps do not divide by the stride, or the stride is
      larger than the kernel.
  """
  n, steps, channels = x.shape
  taps, _, features = kernel.shape
  if steps % stride or stride > taps:
    raise ValueError(
      f'strided_conv: the stride must divide the steps, {steps}, and be at '
      f'most the number of taps, {taps}; got {stride}.'
    )
  before = (taps - stride) // 2
  blocks = -(-taps // stride)  # of so many taps, the last filled with zeros
  after = (blocks - 1) * stride - before
  x = jnp.pad(x, ((0, 0), (before, after), (0, 0)))
  kernel = jnp.pad(kernel, ((0, blocks * stride - taps), (0, 0), (0, 0)))
  x = x.reshape(n, steps // stride + blocks - 1, stride * channels)
  kernel = kernel.reshape(blocks, stride * channels, features)
  # In a shard_map that checks replication, derivatives written by hand must be
  # of as many devices as their operands: both of all.
  return _slide(_varying_as(x, kernel), _varying_as(kernel, x))


def _varying_as(x, other):
  """x as one copy for each device over whose copies `other` varies."""
  of = jax.typeof(other)
  if hasattr(of, 'manual_axis_type'):  # where jax 0.7 has `vma`
    axes = of.manual_axis_type.varying
  else:
    axes = of.vma
  for axis_name in axes:
    x = sharding.varying(x, axis_name)
  return x


@jax.custom_vjp
def _slide(x, kernel):
  """y[n, t] = sum over k of x[n, t + k] @ kernel[k]."""
  return lax.conv_general_dilated(
    x, kernel, (1,), 'VALID', dimension_numbers=('NWC', 'WIO', 'NWC')
  )


@jax.custom_vjp
def _correlate(x, y):
  """kernel[k] = sum over n and t of x[n, t + k]^T @ y[n, t]."""
  return lax.conv_general_dilated(
    x, y, (1,), 'VALID', dimension_numbers=('CWN', 'IWO', 'WNC')
  )


def _spread(y, kernel):
  """x[n, t] = sum over k of y[n, t - k] @ kernel[k]^T."""
  room = kernel.shape[0] - 1
  y = jnp.pad(y, ((0, 0), (room, room), (0, 0)))
  return _slide(y, kernel[::-1].transpose(0, 2, 1))


def _slide_backward(operands, y):
  x, kernel = operands
  return _spread(y, kernel), _correlate(x, y)


def _correlate_backward(operands, kernel):
  x, y = operands
  return _spread(y, kernel), _slide(x, kernel)


_slide.defvjp(lambda *x: (_slide(*x), x), _slide_backward)
_correlate.defvjp(lambda *x: (_correlate(*x), x), _correlate_backward)


def grouped_conv(
  x: Float[Array, 'n h w c'], kernel: Float[Array, 'k l a d'], groups: int
) -> Float[Array, 'n h w d']:
  """A convolution of groups of channels, padding 'SAME', stride 1.

  The function of `lax.conv_general_dilated(x, kernel, (1, 1), 'SAME',
  feature_group_count=groups)`: the first group of channels gives the first of
  as many groups of the result, and so on. On a CPU each group is a convolution
  of its own, everywhere else all are one: of 8 groups of 16 channels at 32x32,
  a batch of 64, the one took two cores 277 ms and the gradient of its kernel
  5.8 s, the eight 42 ms and .12 s.

  Args:
    x: pictures.
    kernel: taps along the two axes, channels of a group, and channels out.
    groups: how many.

  Returns:
    Pictures of the same size.

  Raises:
    ValueError: if they are not the groups of the kernel, or do not divide the
      channels out.
  """
  channels, (*_, own, features) = x.shape[-1], kernel.shape
  if groups * own != channels or features % groups:
    raise ValueError(
      f'grouped_conv: {groups} groups must divide the channels in and out, got '
      f'{channels} and {features} with a kernel for {own} of a group.'
    )
  return lax.platform_dependent(
    x,
    kernel,
    cpu=functools.partial(_one_by_one, groups),
    default=functools.partial(_together, groups),
  )


def _together(groups, x, kernel):
  return lax.conv_general_dilated(
    x,
    kernel,
    (1, 1),
    'SAME',
    dimension_numbers=('NHWC', 'HWIO', 'NHWC'),
    feature_group_count=groups,
  )


def _one_by_one(groups, x, kernel):
  parts = (jnp.split(a, groups, -1) for a in (x, kernel))
  return jnp.concatenate(
    [_together(1, *part) for part in zip(*parts, strict=True)], -1
  )


def pointwise(
  x: Float[Array, 'n *axes c'], kernel: Float[Array, '*ones c d'], *_, **__
) -> Float[Array, 'n *axes d']:
  """A convolution of 1x1 kernels and stride 1, as one matrix product.

  For `flax.linen.Conv(features, (1, 1), conv_general_dilated=pointwise)`, which
  gives what else a convolution takes; here it has no effect. Derivatives of
  products are products, which XLA's CPU backend is several times faster at.
  """
  return jnp.tensordot(x, kernel.reshape(kernel.shape[-2:]), 1)
