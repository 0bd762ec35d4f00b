"""What a game needs to be played, and what is told where it is not so.

Functions that raise ValueError: who, what was needed, and what came.
"""

from collections.abc import Mapping, Sequence
from numbers import Real
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import PyTree

from jgan.gan import GAN, LossOutput, Player


def players(gan: GAN) -> None:
  """Raises ValueError where the players of a GAN cannot play."""
  # A lone player is a tuple as well, of its name, its loss, ...
  if not gan.players or not all(isinstance(p, Player) for p in gan.players):
    raise ValueError(
      'GAN: needs a tuple of players, such as (jgan.Player(...),), got '
      f'{gan.players!r}.'
    )
  labels = [player.label for player in gan.players]
  if len(set(labels)) < len(labels):
    raise ValueError(
      f'GAN: its moves need different labels, got {labels}; give the second '
      'move of a player a `move=`.'
    )
  for player in gan.players:
    _check_player(player)


def _check_player(player: Player) -> None:
  who, optimizer = f'GAN: {player.label!r}', player.optimizer
  if not (hasattr(optimizer, 'init') and hasattr(optimizer, 'update')):
    raise ValueError(
      f'{who} needs an optimizer, such as optax.adam(2e-4), got {optimizer!r}.'
    )
  every = player.every
  whole = isinstance(every, Real) and every >= 1 and every % 1 == 0
  if not (callable(every) or whole):
    raise ValueError(
      f'{who} moves every so many steps, which needs a whole number from 1 on '
      f'or a function of the step; got {every!r}.'
    )
  decay = player.ema_decay
  share = isinstance(decay, Real) and 0 <= decay <= 1
  traced = isinstance(decay, jax.Array)  # as where decays are swept
  if not (decay is None or callable(decay) or share or traced):
    raise ValueError(
      f'{who} keeps an average, of which the decay needs a number from 0 to 1 '
      f'or a function of the step; got {decay!r}.'
    )


def variables(gan: GAN, given: Any) -> None:
  """Raises ValueError where `gan.init` gives a player no params."""
  got = {name: sorted(own) for name, own in given.items()}
  for player in gan.players:
    if 'params' not in got.get(player.name, ()):
      raise ValueError(
        f"init: gan.init needs to give {player.name!r} variables with 'params',"
        f' got {got}.'
      )


def state(who: str, players: Sequence[Player], given: Any) -> None:
  """Raises ValueError where a state lacks one of the players."""
  if not hasattr(given, 'variables'):
    raise ValueError(
      f'{who}: needs a jgan.TrainState, got a {type(given).__name__}; what was '
      'saved is restored into the form of a state of `jgan.init`.'
    )
  names = {player.name for player in players}
  if not names <= given.variables.keys() & given.opt_state.keys():
    raise ValueError(
      f'{who}: needs a state of {sorted(names)}, got one of '
      f'{sorted(given.variables)} with optimizer states of '
      f'{sorted(given.opt_state)}; begin one of this game by `jgan.init`.'
    )


def output(player: Player, returned: Any) -> None:
  """Raises ValueError where a loss returns what the step cannot take."""
  who = f'{player.label}: its loss'
  if not isinstance(returned, LossOutput):
    raise ValueError(
      f'{who} needs to return jgan.LossOutput(loss, mutated, metrics), got a '
      f'{type(returned).__name__}.'
    )
  for name in ('mutated', 'metrics'):
    if not isinstance(got := getattr(returned, name), Mapping):
      raise ValueError(
        f'{who} needs to return `{name}` by name, {{}} for none, got a '
        f'{type(got).__name__}.'
      )
  loss = returned.loss
  if jnp.shape(loss) or not jnp.issubdtype(jnp.result_type(loss), jnp.floating):
    raise ValueError(
      f'{who} needs to be a floating scalar, such as a mean over the examples, '
      f'got {form(loss)[""]}.'
    )
  if 'params' in returned.mutated:
    raise ValueError(
      f"{who} returned 'params' in `mutated`, but params are the optimizer's "
      "to move; leave them out, as by apply(..., mutable=DenyList('params'))."
    )
  if taken := sorted({'loss', 'gradient_norm', 'moved'} & {*returned.metrics}):
    raise ValueError(
      f'{who} returned the metric {taken[0]!r}, a name that the step gives; '
      'take another.'
    )
  for name, x in returned.metrics.items():
    if not (hasattr(x, 'dtype') or isinstance(x, Real)):
      raise ValueError(
        f'{who} returned the metric {name!r}, a {type(x).__name__}; metrics '
        'are scalars.'
      )
  if wrong := [name for name, x in returned.metrics.items() if jnp.shape(x)]:
    raise ValueError(
      f'{who} returned the metric {wrong[0]!r} of shape '
      f'{list(jnp.shape(returned.metrics[wrong[0]]))}; metrics are scalars.'
    )


def form(tree: PyTree) -> dict[str, str]:
  """Dtype and shape of each array, by its path."""
  return {
    jax.tree_util.keystr(path): f'{jnp.result_type(x)}{list(jnp.shape(x))}'
    for path, x in jax.tree_util.tree_leaves_with_path(tree)
  }
