"""Activations of a network's blocks computed again in place of kept.

A backward pass reads what the forward pass made: all of a network's
activations. Recomputed block by block, from what entered each block, no more
lie in memory at a time than those inputs and the activations of one block, for
about the FLOPs of one more forward.
"""

from typing import Any

import flax.linen as nn
import jax

from jgan.gradients import GradientFn, whole

_LAYERS = ('flax.', 'jgan.layers')


def rematerialized(gradient: GradientFn = whole) -> GradientFn:
  """A gradient of the same value, that keeps less from forward to backward.

  Losses, gradients and collections are those of `gradient`, to rounding. Blocks
  are what the networks consist of: the Linen modules that a network calls, and
  in them no others, but for layers, those of `flax.linen` and of `jgan.layers`.
  Residual networks and StyleGAN2's generator are made of blocks; a network that
  calls layers alone, such as DCGAN's, has none.

  Args:
    gradient: how the player differentiates; `jgan.gradients.microbatches(k)`
      saves the more.

  Returns:
    A `GradientFn`.

  Raises:
    ValueError: when called, if no network that the loss applies has a block.

  References:
    Chen et al., Training Deep Nets with Sublinear Memory Cost, 2016
    (https://arxiv.org/abs/1604.06174).
  """

  def less_kept(objective, params, batch, key):
    blocks = []

    def by_blocks(*arguments):
      with nn.intercept_methods(_interceptor(blocks)):
        return objective(*arguments)

    result = gradient(by_blocks, params, batch, key)
    if not blocks:
      raise ValueError(
        'rematerialized: the networks of this loss call layers alone; it needs '
        'one that is made of blocks, Linen modules of their own.'
      )
    return result

  return less_kept


def _interceptor(blocks):
  """Puts the paths of the blocks that it finds into a list."""
  inside = False

  def intercept(call, arguments, options, context):
    nonlocal inside
    module = context.module
    if inside or context.method_name != '__call__' or not _is_block(module):
      return call(*arguments, **options)
    blocks.append(module.path)
    inside = True
    try:
      return _recomputed(module, arguments, options)
    finally:
      inside = False

  return intercept


def _is_block(module: nn.Module) -> bool:
  return bool(module.path) and not type(module).__module__.startswith(_LAYERS)


def _recomputed(module: nn.Module, arguments: tuple, options: dict) -> Any:
  """The module's call, its activations not kept."""
  leaves, structure = jax.tree.flatten((arguments, options))
  traced = [isinstance(leaf, jax.Array) for leaf in leaves]

  def call(module, arrays):
    arrays = iter(arrays)
    filled = [
      next(arrays) if is_array else leaf
      for leaf, is_array in zip(leaves, traced, strict=True)
    ]
    arguments, options = jax.tree.unflatten(structure, filled)
    return module(*arguments, **options)

  arrays = [x for x, is_array in zip(leaves, traced, strict=True) if is_array]
  return nn.remat(call)(module, arrays)
