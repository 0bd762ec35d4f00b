"""Convolutions whose derivatives of any order are quick.

XLA gives the derivatives of `lax.conv_general_dilated` as convolutions over
dilated inputs, with reversed windows or in groups, for which its CPU backend
has no fast code, and which on GPUs it does not always know for what cuDNN has
its own. Here they are convolutions that it is fast at; the results are the same
to rounding.
"""

import functools
import math
from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
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


class _Form(NamedTuple):
  """What is static of a convolution of pictures.

  Attributes:
    strides: along the two axes.
    padding: zeros before and after, along the two axes.
    sizes: height and width of what is convolved.
    taps: of the kernel, along the two axes.
  """

  strides: tuple[int, ...]
  padding: tuple[tuple[int, int], ...]
  sizes: tuple[int, ...]
  taps: tuple[int, ...]


def conv2d(
  x: Float[Array, 'n h w c'],
  kernel: Float[Array, 'k l c d'],
  strides: Sequence[int] = (1, 1),
  padding: str | Sequence[tuple[int, int]] = 'SAME',
  *_,
  **__,
) -> Float[Array, 'n shrunk narrowed d']:
  """A convolution of pictures, whose derivatives are quick to any order.

  The function of `lax.conv_general_dilated(x, kernel, strides, padding)`, also
  as `flax.linen.Conv(..., conv_general_dilated=conv2d)`; what else that gives,
  such as dilations, has no effect. First derivatives are XLA's. Theirs are
  again convolutions of the same stride and the two derivatives of such, in
  reverse mode (`jax.grad` of `jax.grad`, not `jax.jvp`); by XLA's, the gradient
  of a gradient penalty has kernel gradients over dilated inputs.

  Args:
    x: pictures.
    kernel: taps along the two axes, channels in and out, as Linen keeps it.
    strides: along the two axes.
    padding: 'SAME', 'VALID', or zeros before and after along the two axes.

  Returns:
    Pictures, as many times smaller as the strides say.
  """
  sizes, taps, strides = x.shape[1:-1], kernel.shape[:-2], tuple(strides)
  if isinstance(padding, str):
    padding = lax.padtype_to_pads(sizes, taps, strides, padding)
  form = _Form(strides, tuple(map(tuple, padding)), sizes, taps)
  return _conv(form, _varying_as(x, kernel), _varying_as(kernel, x))


# It is linear in both operands. It, its transpose in x and that in the kernel
# are three functions of which each has the two others for derivatives.


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def _conv(form, x, kernel):
  return _convolve(x, kernel, form.strides, form.padding)


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def _conv_to_input(form, y, kernel):
  with_gaps = functools.partial(_with_gaps, form)
  if max(form.strides) == 1:
    return with_gaps(y, kernel)

  # That of cuDNN, for which XLA must see the kernel being turned. Where it was
  # turned before, the two would cancel, and the zeros of the gaps be convolved.
  def turned(y, kernel):
    return with_gaps(y, lax.optimization_barrier(kernel))

  strides_and_taps = zip(form.strides, form.taps, strict=True)
  phases = kernel.shape[-2] >= _LEAST_FEATURES and all(
    stride <= taps for stride, taps in strides_and_taps
  )
  on_cpu = functools.partial(_by_phases, form) if phases else with_gaps
  return lax.platform_dependent(
    y, kernel, cpu=on_cpu, cuda=turned, rocm=turned, default=with_gaps
  )


_LEAST_FEATURES = 16
"""Channels of the result from which on a CPU phases are the quicker: of fewer,
it takes longer to interleave them than to compute with the gaps."""


def _with_gaps(form, y, kernel):
  """`_conv_to_input` as one convolution, of y with zeros between its pixels."""
  padding = []
  for (before, _), size, taps, spread in _axes(form, y):
    before = taps - 1 - before
    padding.append((before, size + taps - 1 - spread - before))
  return _convolve(
    y,
    kernel[::-1, ::-1],
    (1, 1),
    padding,
    gaps=form.strides,
    channels='OI',
  )


def _by_phases(form, y, kernel):
  """`_conv_to_input` in phases, along any number of axes.

  With stride s, places i, i + s, i + 2s, ... of the result see every s-th tap
  of the kernel and no others: one small convolution each, interleaved.
  """
  n, spatial = y.shape[0], len(form.strides)
  kernel = jnp.flip(kernel, range(spatial))
  phases = [
    _phase(form, y, kernel, offsets) for offsets in np.ndindex(*form.strides)
  ]
  sizes, channels = phases[0].shape[1:-1], phases[0].shape[-1]
  x = jnp.stack(phases, axis=1).reshape(n, *form.strides, *sizes, channels)
  # [n, s1, s2, h, w, c] to [n, h, s1, w, s2, c]
  order = [i for axis in range(spatial) for i in (1 + spatial + axis, 1 + axis)]
  x = x.transpose(0, *order, x.ndim - 1)
  grown = (a * s for a, s in zip(sizes, form.strides, strict=True))
  return x.reshape(n, *grown, channels)[(slice(None), *map(slice, form.sizes))]


def _phase(form, y, kernel, offsets):
  """The places `offsets` past multiples of the strides, by a turned kernel."""
  padding, seen = [], []
  for (before, _), size, taps, stride, given, offset in zip(
    form.padding,
    form.sizes,
    form.taps,
    form.strides,
    y.shape[1:-1],
    offsets,
    strict=True,
  ):
    shift, first = divmod(offset + before, stride)
    count, places = -(-(taps - first) // stride), -(-size // stride)
    padding.append((count - 1 - shift, places + shift - given))
    seen.append(slice((taps - 1 - first) % stride, taps - first, stride))
  strides = (1,) * len(seen)
  return _convolve(y, kernel[tuple(seen)], strides, padding, channels='OI')


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def _conv_to_kernel(form, x, y):
  padding = [
    (before, taps - 1 + spread - size - before)
    for (before, _), size, taps, spread in _axes(form, y)
  ]
  common = [max(0, min(one)) for one in padding]
  rest = [
    (before - k, after - k)
    for (before, after), k in zip(padding, common, strict=True)
  ]

  def correlate(x, y, padding=padding):
    return lax.conv_general_dilated(
      x,
      y,
      (1, 1),
      padding,
      rhs_dilation=form.strides,
      dimension_numbers=('CHWN', 'IHWO', 'HWNC'),
    )

  # A CPU first turns both to other layouts: several times slower in one loop
  # with what makes them.
  def apart(x, y):
    return correlate(lax.optimization_barrier(x), lax.optimization_barrier(y))

  # Where padding differs from side to side, XLA fills the gaps in y with zeros
  # on GPUs, and convolves them.
  def evenly(x, y):
    around = [(0, 0, 0), *((*zeros, 0) for zeros in rest), (0, 0, 0)]
    x = lax.pad(x, jnp.zeros((), x.dtype), around)
    x = lax.optimization_barrier(x)  # else the zeros are padding again
    return correlate(x, y, [(k, k) for k in common])

  on_gpu = evenly if np.any(rest) else correlate
  return lax.platform_dependent(
    x, y, cpu=apart, cuda=on_gpu, rocm=on_gpu, default=correlate
  )


def _axes(form, y):
  """By axis: padding, size, taps, and the size of y with gaps for strides."""
  spread = [
    (n - 1) * s + 1 for n, s in zip(y.shape[1:-1], form.strides, strict=True)
  ]
  return zip(form.padding, form.sizes, form.taps, spread, strict=True)


def _conv_backward(form, operands, y):
  x, kernel = operands
  return _conv_to_input(form, y, kernel), _conv_to_kernel(form, x, y)


def _conv_to_input_backward(form, operands, x):
  y, kernel = operands
  return _conv(form, x, kernel), _conv_to_kernel(form, x, y)


def _conv_to_kernel_backward(form, operands, kernel):
  x, y = operands
  return _conv_to_input(form, y, kernel), _conv(form, x, kernel)


_conv.defvjp(lambda *a: (_conv(*a), a[1:]), _conv_backward)
_conv_to_input.defvjp(
  lambda *a: (_conv_to_input(*a), a[1:]), _conv_to_input_backward
)
_conv_to_kernel.defvjp(
  lambda *a: (_conv_to_kernel(*a), a[1:]), _conv_to_kernel_backward
)


def conv_transpose(
  x: Float[Array, 'n *axes c'],
  kernel: Float[Array, '*size c d'],
  strides: tuple[int, ...],
) -> Float[Array, 'n *grown d']:
  """`lax.conv_transpose(x, kernel, strides, 'SAME')`, quick to derive.

  The same function to rounding, also in its derivatives, and on CPUs about ten
  times faster in the kernel's gradient, which XLA otherwise takes over an input
  dilated with zeros. Along two axes it is the transpose of `conv2d`, and
  likewise without forward mode. Along one or three, and on a CPU along two if
  its channels are many, it is computed in its exact phases: of stride s, output
  positions i, i + s, i + 2s, ... see every s-th tap of the kernel and no
  others: one small ordinary convolution each, interleaved.

  Args:
    x: one to three spatial axes.
    kernel: taps by spatial axis, then channels in and out, as Linen keeps it.
    strides: one a spatial axis.

  Returns:
    An array whose spatial axes are `strides` times longer.

  Raises:
    ValueError: if a stride is larger than the kernel, which would leave gaps.
  """
  taps, sizes = kernel.shape[:-2], x.shape[1:-1]
  if any(s > k for s, k in zip(strides, taps, strict=True)):
    raise ValueError(
      f'conv_transpose: a kernel of {taps} is smaller than the strides '
      f'{strides}.'
    )
  padding = []
  for size, stride in zip(taps, strides, strict=True):
    before = size - 1 - _same_padding(size, stride)
    padding.append((before, size - stride - before))
  grown = tuple(n * s for n, s in zip(sizes, strides, strict=True))
  form = _Form(tuple(strides), tuple(padding), grown, taps)
  # Turned last, as its users do first: XLA drops the two.
  kernel = jnp.flip(kernel.swapaxes(-1, -2), range(len(taps)))
  if len(strides) != 2:
    return _by_phases(form, x, kernel)
  return _conv_to_input(form, _varying_as(x, kernel), _varying_as(kernel, x))


def _same_padding(size: int, stride: int) -> int:
  """The padding that lax.conv_transpose puts before its dilated input."""
  return size - 1 if stride > size - 1 else -(-(size + stride - 2) // 2)


def _convolve(x, kernel, strides, padding, gaps=None, channels='IO'):
  """`lax.conv_general_dilated`, quick also where taps outnumber pixels.

  There XLA swaps the operands, and its CPU backend has no fast code for what
  results; on a GPU it then no longer knows a convolution of an input with gaps
  for the one that cuDNN has. So both are given as many pixels as taps, by zeros
  that padding has anyway.

  Args:
    x: along any number of axes.
    kernel: taps, then channels in the order that `channels` tells.
    strides: by axis.
    padding: zeros before and after, by axis.
    gaps: by axis, from each pixel of x to the next, zeros between; None for 1.
    channels: 'IO', in and out, or 'OI'.
  """
  sizes, taps = x.shape[1:-1], kernel.shape[:-2]
  gaps = gaps or (1,) * len(sizes)
  axes = 'DHW'[-len(sizes) :]
  order = f'N{axes}C', f'{axes}{channels}', f'N{axes}C'

  def convolve(x, kernel, padding=padding):
    return lax.conv_general_dilated(
      x, kernel, strides, padding, lhs_dilation=gaps, dimension_numbers=order
    )

  # XLA's rule, by which an axis of one pixel has all.
  pixels = [
    k if (n, s) == (1, 1) else n
    for n, k, s in zip(sizes, taps, strides, strict=True)
  ]
  if math.prod(pixels) >= math.prod(taps):
    return convolve(x, kernel)
  zeros, rest = [], []
  for n, k, (before, after), gap in zip(
    sizes, taps, padding, gaps, strict=True
  ):
    missing = max(0, k - n)
    first = min(missing, max(0, -(-before // gap)))
    last = missing - first
    zeros.append((first, last))
    rest.append((before - first * gap, after - last * gap))

  def enlarged(x, kernel):
    x = jnp.pad(x, ((0, 0), *zeros, (0, 0)))
    # Else XLA takes the zeros for padding, and swaps.
    return convolve(lax.optimization_barrier(x), kernel, rest)

  on_gpu = convolve if max(gaps) == 1 else enlarged
  return lax.platform_dependent(
    x, kernel, cpu=enlarged, cuda=on_gpu, rocm=on_gpu, default=convolve
  )


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
