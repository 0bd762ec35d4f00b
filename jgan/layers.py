"""Layers that generators and discriminators share, in Flax Linen.

Where flax has the layer too, variables and numbers are the same; what differs
is the compiled program, and the docstring says how.
"""

from collections.abc import Callable, Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float, Int

from jgan.convolutions import conv_transpose, grouped_conv
from jgan.initializers import Initializer


class BatchNorm(nn.Module):
  """Batch normalisation over all axes but the last.

  The variables and numbers of `flax.linen.BatchNorm`. Its inverse deviation is
  taken on `[channels]` and only then broadcast, so that the compiler sees that
  the generator's forward in two players' moves is one and the same, and keeps
  one of them; flax's version, reshaped first, comes out as two. (Under jit over
  sharded arrays it is two all the same: XLA does not merge the all-reduces of
  the statistics.)

  Attributes:
    momentum: of the running statistics, `m * old + (1 - m) * batch`.
    epsilon: added to the variance.
    use_scale: learn a scale per channel, started at 1.
    use_bias: learn a bias per channel, started at 0.
    scale_init: its initialiser.
    dtype: of the result; None takes the input's. Statistics of a batch are
      float32, of float64 in it; running ones start in float32.
    axis_name: the axis of pmap or shard_map over which statistics are
      averaged; None under jit, where they are global by themselves.
  """

  momentum: float = 0.99
  epsilon: float = 1e-5
  use_scale: bool = True
  use_bias: bool = True
  scale_init: Initializer = nn.initializers.ones
  dtype: Any = None
  axis_name: str | None = None

  @nn.compact
  def __call__(
    self, x: Float[Array, 'n *axes c'], use_running_average: bool
  ) -> Float[Array, 'n *axes c']:
    channels = (x.shape[-1],)
    wide = x if x.dtype == jnp.float64 else x.astype(jnp.float32)
    kept = channels, jnp.float32
    mean = self.variable('batch_stats', 'mean', jnp.zeros, *kept)
    var = self.variable('batch_stats', 'var', jnp.ones, *kept)
    if use_running_average:
      used = mean.value, var.value
    else:
      used = self._moments(wide)
      if not self.is_initializing():
        mean.value = self._move(mean.value, used[0])
        var.value = self._move(var.value, used[1])
    scale = lax.rsqrt(used[1] + self.epsilon)
    if self.use_scale:
      scale *= self.param('scale', self.scale_init, channels, jnp.float32)
    y = (wide - _channels_last(used[0], x)) * _channels_last(scale, x)
    if self.use_bias:
      bias = self.param('bias', nn.initializers.zeros, channels, jnp.float32)
      y += _channels_last(bias, x)
    return y.astype(self.dtype or x.dtype)

  def _moments(self, x):
    axes = tuple(range(x.ndim - 1))
    moments = jnp.stack([x.mean(axes), (x**2).mean(axes)])
    if self.axis_name is not None and not self.is_initializing():
      moments = lax.pmean(moments, self.axis_name)
    # Rounding can take the difference below zero.
    return moments[0], jnp.maximum(moments[1] - moments[0] ** 2, 0)

  def _move(self, old, new):
    new = new.astype(old.dtype)
    return self.momentum * old + (1 - self.momentum) * new


class InstanceNorm(nn.Module):
  """Normalisation of each channel of each example over its spatial axes.

  The variables and numbers of `flax.linen.InstanceNorm`. As in `BatchNorm`, the
  inverse deviation is taken before it is broadcast, so that a forward in two
  players' moves is compiled as one. Nothing is kept from batch to batch, so
  that training and sampling are the same function.

  Attributes:
    epsilon: added to the variance.
    use_scale: learn a scale per channel, started at 1.
    use_bias: learn a bias per channel, started at 0.
    scale_init: its initialiser.
    dtype: of the result; None takes the input's. Statistics are float32.

  References:
    Ulyanov et al., Instance Normalization: The Missing Ingredient for Fast
    Stylization, 2016 (https://arxiv.org/abs/1607.08022).
  """

  epsilon: float = 1e-5
  use_scale: bool = True
  use_bias: bool = True
  scale_init: Initializer = nn.initializers.ones
  dtype: Any = None

  @nn.compact
  def __call__(self, x: Float[Array, 'n *axes c']) -> Float[Array, 'n *axes c']:
    axes, channels = tuple(range(1, x.ndim - 1)), (x.shape[-1],)
    y = x.astype(jnp.float32)
    # From the first pixel on, and in two passes: of flat ground, as drawings
    # have, a rounded mean would leave nothing but rounding.
    y -= lax.stop_gradient(y[:, *[slice(1)] * len(axes)])
    y -= _examples_first(y.mean(axes), y)
    inverse = lax.rsqrt((y**2).mean(axes) + self.epsilon)
    y *= _examples_first(inverse, y)
    if self.use_scale:
      scale = self.param('scale', self.scale_init, channels, jnp.float32)
      y *= _channels_last(scale, y)
    if self.use_bias:
      bias = self.param('bias', nn.initializers.zeros, channels, jnp.float32)
      y += _channels_last(bias, y)
    return y.astype(self.dtype or x.dtype)


class ConditionalBatchNorm(nn.Module):
  """Batch normalisation whose scale and bias are linear in a condition.

  `(1 + W_s c) * normalised + W_b c`: with both kernels at zero, as they start
  by default, it is the plain normalisation.

  Attributes:
    kernel_init: of W_s and W_b.
    momentum, epsilon, dtype, axis_name: as of `BatchNorm`.

  References:
    De Vries et al., Modulating early visual processing by language, 2017
    (https://arxiv.org/abs/1707.00683); for classes Miyato and Koyama, 2018;
    for shared embeddings Brock et al., 2018.
  """

  kernel_init: Initializer = nn.initializers.zeros
  momentum: float = 0.99
  epsilon: float = 1e-5
  dtype: Any = None
  axis_name: str | None = None

  @nn.compact
  def __call__(
    self,
    x: Float[Array, 'n *axes c'],
    condition: Float[Array, 'n d'],
    use_running_average: bool,
  ) -> Float[Array, 'n *axes c']:
    """Normalises `x`; `condition` is one-hot for classes, or an embedding."""
    x = BatchNorm(
      self.momentum,
      self.epsilon,
      use_scale=False,
      use_bias=False,
      dtype=self.dtype,
      axis_name=self.axis_name,
    )(x, use_running_average)

    def modulation(name):
      y = nn.Dense(
        x.shape[-1],
        use_bias=False,
        kernel_init=self.kernel_init,
        dtype=x.dtype,
        name=name,
      )(condition)
      return y.reshape(y.shape[0], *[1] * (x.ndim - 2), y.shape[1])

    return x * (1 + modulation('scale')) + modulation('bias')


class SpectralNorm(nn.Module):
  """Divides a layer's kernels by an estimate of their largest singular value.

  `SpectralNorm(nn.Conv(64, (3, 3)))(x, update_stats=train)`. The variables and,
  with `update_stats`, the numbers of `flax.linen.SpectralNorm`: one step of
  power iteration on the kernel as a matrix `[rest, features]`, kept in
  'batch_stats'. Without `update_stats` flax iterates all the same; here the
  stored vector is used as it is, so that repeated evaluations agree. As flax
  does, `init` keeps the kernel that it has divided: its scale has no effect on
  the layer, but on how far one step of the optimizer turns it.

  Attributes:
    layer_instance: a module with kernels; arrays of at most one axis stay.
    n_steps: power iterations in one update, 1 or more.
    epsilon: guards the vectors' normalisation.

  Raises:
    ValueError: n_steps is below 1.

  References:
    Miyato et al., Spectral Normalization for GANs, 2018, algorithm 1
    (https://arxiv.org/abs/1802.05957).
  """

  layer_instance: nn.Module
  n_steps: int = 1
  epsilon: float = 1e-12

  @nn.compact
  def __call__(self, *args: Any, update_stats: bool, **kwargs: Any) -> Any:
    if self.n_steps < 1:
      raise ValueError(
        f'SpectralNorm: n_steps must be 1 or more, got {self.n_steps}.'
      )

    def normalise(variables):
      return jax.tree_util.tree_map_with_path(
        lambda path, x: self._normalised(path, x, update_stats), variables
      )

    return nn.map_variables(
      lambda layer: layer(*args, **kwargs),
      trans_in_fn=normalise,
      init=self.is_initializing(),
      mutable=True,
    )(self.layer_instance)

  def _normalised(self, path, kernel, update_stats):
    if kernel.ndim < 2:
      return kernel
    matrix = kernel.reshape(-1, kernel.shape[-1]).astype(jnp.float32)
    name = '/'.join(
      [self.layer_instance.name, *(step.key for step in path[1:])]
    )
    u = self.variable(
      'batch_stats',
      f'{name}/u',
      lambda: jax.random.normal(
        self.make_rng('params'), (1, matrix.shape[-1]), jnp.float32
      ),
    )
    stored = self.variable(
      'batch_stats', f'{name}/sigma', jnp.ones, (), jnp.float32
    )
    if update_stats:
      u_now = u.value
      for _ in range(self.n_steps):
        v = self._unit(u_now @ matrix.T)
        u_now = self._unit(v @ matrix)
    else:
      u_now, v = self._unit(u.value), self._unit(u.value @ matrix.T)
    u_now, v = lax.stop_gradient((u_now, v))
    sigma = (v @ matrix @ u_now.T)[0, 0]
    if update_stats:
      u.value, stored.value = u_now, sigma
    # Times the inverse: a division would keep XLA from making one forward of
    # two, as its derivative is written otherwise.
    return kernel * (1 / jnp.where(sigma != 0, sigma, 1)).astype(kernel.dtype)

  def _unit(self, x):
    return x * lax.rsqrt((x**2).sum(-1, keepdims=True) + self.epsilon)


class Dropout(nn.Module):
  """Zeroes a share of the entries, and scales up the others to make up for it.

  The numbers of `flax.linen.Dropout`. The mask is drawn as a vector and then
  reshaped, as in `jgan.initializers`, so that it compiles quickly.

  Attributes:
    rate: the share, from 0 up to but not including 1.

  Raises:
    ValueError: the rate is another.
  """

  rate: float

  @nn.compact
  def __call__(
    self, x: Float[Array, '*axes'], deterministic: bool
  ) -> Float[Array, '*axes']:
    if not 0 <= self.rate < 1:
      raise ValueError(
        'Dropout: the rate must be from 0 up to but not including 1, got '
        f'{self.rate}.'
      )
    if deterministic or self.rate == 0:
      return x
    kept = jax.random.bernoulli(
      self.make_rng('dropout'), 1 - self.rate, (x.size,)
    )
    return jnp.where(kept.reshape(x.shape), x / (1 - self.rate), 0)


class SelfAttention(nn.Module):
  r"""Lets every pixel look at all others, through a gate that starts shut.

  With pixels x_i of C channels, keys and values k, v that are the largest of
  two by two pixels,

  .. math::
    y_i = x_i + \gamma W_o \sum_j \beta_{ij} v_j, \quad
    \beta_{i \cdot} = \mathrm{softmax}_j(q_i \cdot k_j)

  where q = W_q x and k have C / 8 channels, v has C / 2, no layer has a bias,
  and gamma starts at 0. In the paper v has C / 8 channels, and all pixels are
  keys; these sizes are those of the authors' published code.

  Attributes:
    kernel_init: of the four matrices.
    wrap: what is done to each of the four layers, such as spectral norm.
    dtype: of the computation; None takes the input's. The weights beta are
      computed in float32.

  References:
    Zhang et al., Self-Attention Generative Adversarial Networks, 2018,
    equations 1 to 3 (https://arxiv.org/abs/1805.08318).
  """

  kernel_init: Initializer = nn.initializers.lecun_normal()
  wrap: Callable[[nn.Module], Callable[[Array], Array]] = lambda layer: layer
  dtype: Any = None

  @nn.compact
  def __call__(self, x: Float[Array, 'n h w c']) -> Float[Array, 'n h w c']:
    n, h, w, c = x.shape
    if h % 2 or w % 2:
      raise ValueError(
        f'SelfAttention: height and width must be even, got {h} and {w}.'
      )
    x = x.astype(self.dtype or x.dtype)

    def linear(features, name):
      layer = nn.Dense(
        features,
        use_bias=False,
        kernel_init=self.kernel_init,
        dtype=x.dtype,
        name=name,
      )
      return self.wrap(layer)

    def pooled(y):
      return nn.max_pool(y, (2, 2), (2, 2)).reshape(n, h * w // 4, -1)

    few, half = max(c // 8, 1), max(c // 2, 1)
    queries = linear(few, 'query')(x).reshape(n, h * w, few)
    keys = pooled(linear(few, 'key')(x))
    values = pooled(linear(half, 'value')(x))
    scores = jnp.einsum(
      'nqc,nkc->nqk', queries, keys, preferred_element_type=jnp.float32
    )
    weights = nn.softmax(scores).astype(x.dtype)
    seen = jnp.einsum('nqk,nkc->nqc', weights, values).reshape(n, h, w, half)
    gamma = self.param('gamma', nn.initializers.zeros, (), jnp.float32)
    # XLA would take gamma into the product where gamma has no gradient, and
    # then could not make one forward of two moves'.
    output = lax.optimization_barrier(linear(c, 'output')(seen))
    return x + gamma.astype(x.dtype) * output


class ConvTranspose(nn.Module):
  """Transposed convolution; padding 'SAME'.

  The variables and numbers of `flax.linen.ConvTranspose(features, kernel_size,
  strides)`, to rounding; see `jgan.convolutions.conv_transpose` for what
  differs.

  Attributes:
    features: channels of the result.
    kernel_size: one number a spatial axis.
    strides: one number a spatial axis, each the factor by which it grows.
    use_bias: add a learned bias, started at 0.
    kernel_init: of the kernel `[*kernel_size, in, features]`.
    dtype: of the computation; None takes the input's.
  """

  features: int
  kernel_size: Sequence[int]
  strides: Sequence[int]
  use_bias: bool = True
  kernel_init: Initializer = nn.initializers.lecun_normal()
  dtype: Any = None

  @nn.compact
  def __call__(
    self, x: Float[Array, 'n *axes c']
  ) -> Float[Array, 'n *grown d']:
    shape = (*self.kernel_size, x.shape[-1], self.features)
    dtype = self.dtype or x.dtype
    kernel = self.param('kernel', self.kernel_init, shape).astype(dtype)
    y = conv_transpose(x.astype(dtype), kernel, tuple(self.strides))
    if self.use_bias:
      bias = self.param(
        'bias', nn.initializers.zeros, (self.features,), jnp.float32
      )
      y += _channels_last(bias.astype(dtype), y)
    return y


class GroupedConv(nn.Module):
  """Convolution of groups of channels; padding 'SAME', stride 1, no bias.

  The variables and numbers of `flax.linen.Conv(features, kernel_size,
  feature_group_count=groups, use_bias=False)`; see
  `jgan.convolutions.grouped_conv` for what differs.

  Attributes:
    features: channels of the result.
    kernel_size: height and width.
    groups: divides the channels in and out.
    kernel_init: of the kernel `[*kernel_size, in / groups, features]`.
    dtype: of the computation; None takes the input's.
  """

  features: int
  kernel_size: tuple[int, int]
  groups: int
  kernel_init: Initializer = nn.initializers.lecun_normal()
  dtype: Any = None

  @nn.compact
  def __call__(self, x: Float[Array, 'n h w c']) -> Float[Array, 'n h w d']:
    shape = (*self.kernel_size, x.shape[-1] // self.groups, self.features)
    dtype = self.dtype or x.dtype
    kernel = self.param('kernel', self.kernel_init, shape).astype(dtype)
    return grouped_conv(x.astype(dtype), kernel, self.groups)


def recurrent(
  cell: nn.RNNCellBase, x: Float[Array, '*n t c']
) -> Float[Array, '*n t h']:
  """Runs a recurrent cell along time, from a state of zeros.

  `nn.RNN(cell)(x)`, to the bit. The zeros are made of `x`, so that they differ
  from device to device wherever x does: inside of `jax.shard_map`, a loop that
  began with a state that is one and the same on all devices is refused.

  Args:
    cell: such as `nn.GRUCell(24)`; made in the module that calls.
    x: any number of leading axes, time, and what the cell reads in each step.

  Returns:
    What the cell puts out in each step.
  """
  shape = (*x.shape[:-2], x.shape[-1])
  zeros = cell.initialize_carry(jax.random.key(0), shape)
  none = 0 * x[..., 0, :1].astype(jnp.float32)
  carry = jax.tree.map(lambda state: state + none, zeros)
  return nn.RNN(cell)(x, initial_carry=carry)


def one_hot(
  label: Int[Array, '*n'] | None, num_classes: int, dtype: Any = jnp.float32
) -> Float[Array, '*n k']:
  """Labels as one-hot vectors, for a network that is conditioned on them.

  A label out of range, below 0 or from num_classes on, is all zeros.

  Raises:
    ValueError: if there are no labels, they are no integers, or each is within
      an axis of its own, as `[n, 1]`.
  """
  if (
    label is None
    or not jnp.issubdtype(label.dtype, jnp.integer)
    or label.shape[1:][-1:] == (1,)
  ):
    got = 'none' if label is None else f'{label.dtype}{list(label.shape)}'
    raise ValueError(
      f"one_hot: with num_classes={num_classes} the batch needs a 'label', an "
      f'integer for each example, as [n]; got {got}.'
    )
  return jax.nn.one_hot(label, num_classes, dtype=dtype)


def _channels_last(x: Float[Array, 'c'], like: Array) -> Array:
  return lax.broadcast_in_dim(
    x, (1,) * (like.ndim - 1) + x.shape, (like.ndim - 1,)
  )


def _examples_first(x: Float[Array, 'n c'], like: Array) -> Array:
  n, channels = x.shape
  shape = (n, *[1] * (like.ndim - 2), channels)
  return lax.broadcast_in_dim(x, shape, (0, like.ndim - 1))
