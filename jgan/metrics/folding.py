"""Trained convolutions with batch normalisation, as convolutions alone."""

from collections.abc import Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

_EPSILON = 1e-3  # of the normalisations, in all networks read here


def groups(
  who: str, arrays: Sequence[np.ndarray], size: int
) -> list[Sequence[np.ndarray]]:
  """The arrays in groups of `size`. ValueError: they do not divide."""
  if len(arrays) % size:
    raise ValueError(
      f'{who}: needs {size} arrays for each convolution, got {len(arrays)} '
      'in all.'
    )
  return [arrays[i : i + size] for i in range(0, len(arrays), size)]


def convolutions(
  network: nn.Module,
  image_shape: tuple[int, int, int],
  trained: Sequence[Sequence[np.ndarray]],
) -> dict[str, dict[str, np.ndarray]]:
  """The convolutions 'conv0', 'conv1', ... of a network.

  With `f = scale / sqrt(variance + .001)` the kernel is `f * weight` and the
  bias `bias - f * mean`, computed in float64 and rounded once.

  Args:
    network: what will hold them; its shapes are what is needed.
    image_shape: height, width and channels of its pictures.
    trained: of each convolution, in order, weight [out, in, height, width] and
      scale, bias, mean and variance [out], in these shapes or flat.

  Returns:
    Linen params by name: 'kernel' [height, width, in, out] and 'bias' [out].

  Raises:
    ValueError: there are more or fewer, or one has another shape.
  """
  images = jnp.zeros((1, *image_shape))
  params = jax.eval_shape(network.init, jax.random.key(0), images)['params']
  needed = [name for name in params if name.startswith('conv')]
  if len(trained) != len(needed):
    raise ValueError(
      f'{type(network).__name__}: needs the arrays of {len(needed)} '
      f'convolutions, got those of {len(trained)}.'
    )
  return {
    f'conv{i}': _folded(network, f'conv{i}', params[f'conv{i}'], arrays)
    for i, arrays in enumerate(trained)
  }


def shaped(who: str, array: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
  """The array in float64 and that shape. ValueError: it has another."""
  if array.shape not in (shape, (np.prod(shape),)):
    raise ValueError(f'{who}: needs an array {shape}, got {array.shape}.')
  return array.reshape(shape).astype(np.float64)


def _folded(network, name, expected, arrays) -> dict[str, np.ndarray]:
  who = f'{type(network).__name__}: {name}'
  *size, inputs, outputs = expected['kernel'].shape
  weight = shaped(who, arrays[0], (outputs, inputs, *size))
  scale, bias, mean, variance = (
    shaped(who, array, (outputs,)) for array in arrays[1:]
  )
  factor = scale / np.sqrt(variance + _EPSILON)
  kernel = weight.transpose(2, 3, 1, 0) * factor
  return {
    'kernel': kernel.astype(np.float32),
    'bias': (bias - factor * mean).astype(np.float32),
  }
