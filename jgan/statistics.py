"""BatchNorm statistics for the params that one samples from."""

import functools
from collections.abc import Sequence

import jax
import jax.numpy as jnp
from jaxtyping import PRNGKeyArray

from jgan import checks, sharding
from jgan.gan import GAN, Batch
from jgan.train import TrainState, averaged_variables


def standing_statistics(
  gan: GAN, state: TrainState, batches: Sequence[Batch], key: PRNGKeyArray
) -> TrainState:
  """Recomputes BatchNorm's statistics for the averaged params.

  The running statistics belong to the params of the training. Here each
  'mean' and 'var' of 'batch_stats' becomes the plain average, over `batches`,
  of the batch's own statistics under the averaged params (a player's params,
  where it keeps no average). Statistics that a player's main loss does not
  move stay as they are.

  Args:
    gan: the game; its losses do the forwards, with the variables from which
      `sample` samples.
    state: the state to sample from.
    batches: batches like those of the training.
    key: batch number i draws its latents from `fold_in(key, i)`.

  Returns:
    The state with new running statistics; all else as it was.

  Raises:
    ValueError: if there is no batch, or the state is of another game.

  References:
    Brock et al., Large Scale GAN Training, 2018, appendix C.1: standing
    statistics (https://arxiv.org/abs/1809.11096).
  """
  batches = [sharding.with_index(batch) for batch in batches]
  key = sharding.one_key(key)
  if not batches:
    raise ValueError('standing_statistics: needs one batch or more, got none.')
  checks.state('standing_statistics', gan.players, state)
  mains = {player.name: player for player in reversed(gan.players)}
  variables = dict(state.variables)
  for name, player in mains.items():
    if 'batch_stats' not in variables[name]:
      continue
    keys = [jax.random.fold_in(key, i) for i in range(len(batches))]
    own = [
      _batch_statistics(player, state, batch, key)
      for batch, key in zip(batches, keys, strict=True)
    ]
    mean = jax.tree.map(lambda *xs: sum(xs) / len(xs), *own)
    variables[name] = {**variables[name], 'batch_stats': mean}
  return state._replace(variables=variables)


@functools.partial(jax.jit, static_argnames='player')
def _batch_statistics(player, state, batch, key):
  """The statistics of one batch alone, whatever the layers' momentum m is.

  A move takes s to m s + (1 - m) b for the batch's statistics b. From s = 0
  it gives (1 - m) b, and a second move gives (1 + m) (1 - m) b; their ratio
  tells m.
  """
  variables = averaged_variables(state)
  own = variables[player.name]

  def move(stats):
    moving = {**variables, player.name: {**own, 'batch_stats': stats}}
    output = player.loss(moving, batch, jax.random.clone(key), state.step)
    return output.mutated.get('batch_stats', stats)

  def from_zero(path, leaf):
    return jnp.zeros_like(leaf) if _is_statistic(path) else leaf

  once = move(jax.tree_util.tree_map_with_path(from_zero, own['batch_stats']))
  twice = move(once)

  def unbiased(path, old, once, twice):
    if not _is_statistic(path):
      return old
    total = jnp.abs(once).sum()
    ratio = jnp.abs(twice).sum() / jnp.where(total == 0, 1, total)
    return jnp.where(total == 0, old, once / (2 - ratio))

  return jax.tree_util.tree_map_with_path(
    unbiased, own['batch_stats'], once, twice
  )


def _is_statistic(path) -> bool:
  """Linen calls BatchNorm's 'mean' and 'var'; SpectralNorm's are others."""
  return jax.tree_util.keystr(path[-1:]) in ("['mean']", "['var']")
