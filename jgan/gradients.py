"""Ways to differentiate a player's loss: whole, in microbatches, per example.

Each is a `GradientFn`: `(objective, params, batch, key) -> ((loss, output),
gradients)`, where `objective(params, batch, key) -> (loss, LossOutput)` is the
moving player's loss with every other player held fixed.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from numbers import Integral
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
from jax import lax
from jax.typing import ArrayLike
from jaxtyping import Array, Float, PRNGKeyArray, PyTree

from jgan import norms, sharding

Objective: TypeAlias = Callable[
  [PyTree, Mapping[str, Array], PRNGKeyArray], tuple[Array, Any]
]
GradientFn: TypeAlias = Callable[
  [Objective, PyTree, Mapping[str, Array], PRNGKeyArray],
  tuple[tuple[Array, Any], PyTree],
]

_COLLECTIONS_NEED = (
  "needs collections that do not depend on the examples, as a spectral norm's; "
  'those of a BatchNorm, of `ada.adaptive` or of `logit_means` (LeCam) would '
  'be of one example alone. Play without them, or by gradients.whole.'
)

# Folded into the key of the privacy noise; losses fold small numbers.
_NOISE = 0x6E6F6973


def whole(
  objective: Objective,
  params: PyTree,
  batch: Mapping[str, Array],
  key: PRNGKeyArray,
) -> tuple[tuple[Array, Any], PyTree]:
  """The gradient of the whole batch at once: `jax.value_and_grad`."""
  return jax.value_and_grad(objective, has_aux=True)(params, batch, key)


def microbatches(k: int, unroll: bool | None = None) -> GradientFn:
  """The mean gradient over k parts of the batch, one after the other.

  Exact accumulation: every part plays against the same opponent and the
  optimizer moves once, so where the loss is a mean over examples the result is
  that of the whole batch, in about a k-th of its memory. Layers that mix
  examples (BatchNorm, minibatch deviation, packing) see one part at a time.
  Part i holds examples i, i + k, i + 2k, ...

  Args:
    k: the number of parts; divides the batch.
    unroll: write the parts out in the program in place of a loop. None does so
      on a CPU, where XLA's kernel gradients inside loops are slow.

  Returns:
    A `GradientFn`. Its loss and metrics are means over the parts, 'batch_stats'
    too; another collection is the last part's.

  Raises:
    ValueError: if k is no whole number from 1 on; when called, if it does not
      divide the number of examples.
  """
  if not isinstance(k, Integral) or k < 1:
    raise ValueError(
      f'microbatches: k must be a whole number from 1 on, got {k!r}.'
    )

  def gradient(objective, params, batch, key):
    batch = sharding.with_index(batch)
    parts = jax.tree.map(lambda x: _divide(x, k), batch)
    straight = jax.default_backend() == 'cpu' if unroll is None else unroll

    def run(part):
      # A clone: every part draws from the same key, by its examples' numbers.
      again = jax.random.clone(key)
      (_, output), grads = whole(objective, params, part, again)
      stats, others = _split(output.mutated)
      # A count has a mean over the parts as well.
      metrics = jax.tree.map(_as_floating, output.metrics)
      return (output._replace(mutated=stats, metrics=metrics), grads), others

    def add(carry, part):
      averaged, others = run(part)
      return (jax.tree.map(_add, carry[0], averaged), others), None

    # The first part outside of the loop: its result has the carry's types.
    first = run(jax.tree.map(lambda x: x[0], parts))
    rest = jax.tree.map(lambda x: x[1:], parts)
    (total, others), _ = lax.scan(add, first, rest, unroll=k if straight else 1)
    output, grads = jax.tree.map(
      lambda x: x / k if is_floating(x) else x, total
    )
    output = output._replace(mutated={**output.mutated, **others})
    return (output.loss, output), grads

  return gradient


def per_example(
  clip: float,
  noise: float,
  axis_name: sharding.AxisName = None,
  salt: int = 0,
) -> GradientFn:
  r"""Clipped and noised gradients, for differentially private training.

  With gradients g_i of the loss on each example alone,

  .. math::
    \frac{1}{n} \left( \sum_i g_i \min\left(1, \frac{C}{\lVert g_i \rVert_2}
      \right) + \mathcal{N}(0, \sigma^2 C^2) \right)

  Each example is clipped before anything is averaged, and noise is added once
  to the sum over the global batch. The loss must treat examples separately:
  BatchNorm or packing would carry one example into another's gradient. The
  gradients of all examples are held at once.

  Args:
    clip: C, the largest norm of one example's gradient over all params.
    noise: sigma, the noise multiplier, in units of `clip`.
    axis_name: as of `train_step`, under pmap and shard_map.
    salt: another number for each move of a step that adds noise: all moves have
      the step's key, and would add the same.

  Returns:
    A `GradientFn`. Its loss and metrics are means over examples; collections
    must not depend on the example.

  Raises:
    ValueError: if clip is not positive, noise is negative, or one is infinite
      or NaN; when called, if a collection depends on the example, as BatchNorm,
      `ada.adaptive` and `regularizers.logit_means` make them.

  References:
    Abadi et al., Deep Learning with Differential Privacy, 2016, algorithm 1
    (https://arxiv.org/abs/1607.00133).
  """

  if not (0 < clip < math.inf and 0 <= noise < math.inf):
    raise ValueError(
      'per_example: needs a positive clip and a noise of 0 or more, both '
      f'finite, got {clip=}, {noise=}.'
    )

  def gradient(objective, params, batch, key):
    batch = sharding.with_index(batch, axis_name)

    def one(example):
      alone = jax.tree.map(lambda x: x[None], example)
      (_, output), grads = whole(objective, params, alone, key)
      return (output._replace(mutated={}), grads), output.mutated

    try:
      (output, grads), mutated = jax.vmap(one, out_axes=(0, None))(batch)
    except ValueError as error:
      if 'out_axes' not in str(error):
        raise
      got = str(error).splitlines()[0]  # jax names the first that does
      raise ValueError(f'per_example: {_COLLECTIONS_NEED} {got}') from error
    total = _clipped_sum(grads, clip)
    devices = 1 if axis_name is None else lax.psum(1, axis_name)
    # The same draw on every device, a share each: the sum holds it once.
    noise_key = jax.random.fold_in(jax.random.fold_in(key, _NOISE), salt)
    draw = _normal_like(total, noise_key)
    grads = jax.tree.map(
      lambda g, z: (g + (noise * clip / devices) * z) / output.loss.shape[0],
      total,
      draw,
    )
    output = output._replace(
      loss=output.loss.mean(),
      mutated=mutated,
      metrics=jax.tree.map(lambda x: x.mean(0), output.metrics),
    )
    return (output.loss, output), grads

  return gradient


def merged(collections: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
  """One set of collections from several calls that started from the same.

  The floating arrays of 'batch_stats' are averaged: a running mean moved by
  the average of two batches is the average of the two moved means. Any other
  collection is the last call's.
  """
  last = collections[-1]
  if 'batch_stats' not in last:
    return last
  stats = jax.tree.map(
    lambda *xs: sum(xs) / len(xs) if is_floating(xs[0]) else xs[-1],
    *(each['batch_stats'] for each in collections),
  )
  return {**last, 'batch_stats': stats}


def is_floating(x: Array) -> bool:
  """Whether an average of x makes sense: not of integers, nor of booleans."""
  return jnp.issubdtype(x.dtype, jnp.floating)


def _divide(x: Array, k: int) -> Array:
  if x.shape[0] % k:
    raise ValueError(
      f'microbatches: a batch of {x.shape[0]} examples does not divide into '
      f'{k} microbatches.'
    )
  # Part i holds examples i, i + k, ...: so each is divided over the devices as
  # the batch is. Of consecutive examples every device would compute them all.
  return x.reshape(x.shape[0] // k, k, *x.shape[1:]).swapaxes(0, 1)


def _split(mutated: Mapping[str, Any]) -> tuple[dict, dict]:
  """The collection that is averaged, and those of which the last is kept."""
  stats = {k: v for k, v in mutated.items() if k == 'batch_stats'}
  return stats, {k: v for k, v in mutated.items() if k not in stats}


def _as_floating(x: ArrayLike) -> Array:
  return jnp.asarray(x, jnp.promote_types(jnp.result_type(x), jnp.float32))


def _add(total: Array, x: Array) -> Array:
  return total + x if is_floating(x) else x


def _clipped_sum(grads: PyTree, clip: float) -> PyTree:
  """Sums gradients over their leading axis, each first cut to norm `clip`."""
  lengths = jax.vmap(norms.of_tree)(grads)
  # A zero gradient stays zero: no division by its norm. At less than the
  # highest precision an accelerator's sum could exceed the bound.
  factors = clip / jnp.maximum(lengths, clip)
  return jax.tree.map(
    lambda g: jnp.tensordot(factors, g, 1, precision='highest'), grads
  )


def _normal_like(
  tree: PyTree[Float[Array, '...']], key: PRNGKeyArray
) -> PyTree:
  leaves, structure = jax.tree.flatten(tree)
  return jax.tree.unflatten(
    structure,
    [
      jax.random.normal(jax.random.fold_in(key, i), x.shape, x.dtype)
      for i, x in enumerate(leaves)
    ],
  )
