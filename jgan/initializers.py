"""How parameters start, drawn so that XLA compiles the draw quickly.

The numbers are those of flax's initialisers of the same name. Those draw an
array of the parameter's own shape, and XLA writes the random bits' arithmetic
anew for the index of each of its axes: on a CPU a convolution's kernel takes
seconds to compile. Drawn as a vector and then reshaped the numbers are the
same, and the program is small.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, PRNGKeyArray

Initializer = Callable[..., Array]
"""`(key, shape, dtype) -> Array`, as Linen's `kernel_init` takes it."""


def normal(stddev: float) -> Initializer:
  """Independent normal entries with mean 0; `flax`'s `normal(stddev)`."""

  def initializer(
    key: PRNGKeyArray, shape: Sequence[int], dtype: Any = jnp.float32
  ) -> Array:
    draw = jax.random.normal(key, (math.prod(shape),), dtype)
    return (draw * jnp.asarray(stddev, dtype)).reshape(shape)

  return initializer


def xavier_uniform(gain: float = 1.0) -> Initializer:
  r"""Uniform entries whose variance suits both directions of a layer.

  On :math:`\pm g \sqrt{6 / (f_{in} + f_{out})}`, where the fans count a
  kernel's taps times its channels in and out.

  Args:
    gain: g, which makes up for what the layer's nonlinearity takes away.

  References:
    Glorot and Bengio, Understanding the difficulty of training deep feedforward
    neural networks, 2010, equation 16.
  """

  def initializer(
    key: PRNGKeyArray, shape: Sequence[int], dtype: Any = jnp.float32
  ) -> Array:
    *taps, channels_in, channels_out = shape
    fans = math.prod(taps) * (channels_in + channels_out)
    draw = jax.random.uniform(key, (math.prod(shape),), dtype, -1)
    bound = gain * math.sqrt(6 / fans)
    return (draw * jnp.asarray(bound, dtype)).reshape(shape)

  return initializer
