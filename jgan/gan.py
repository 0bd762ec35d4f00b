"""The vocabulary: a GAN is a small value made of pure functions.

A `Player` is one network (or a container of several) with the loss that moves
it and the optimizer that does. A `GAN` is the players of one game, how to
initialise them and how to sample. `jgan.train` plays any of them.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, Protocol, TypeAlias

import numpy as np
import optax
from jaxtyping import Array, Float, Int, PRNGKeyArray, PyTree

from jgan import gradients

Variables: TypeAlias = Mapping[str, Any]
"""One player's Linen variables: `{'params': ..., 'batch_stats': ...}`."""

Batch: TypeAlias = Mapping[str, Array | np.ndarray]
"""What the losses read, by name; the leading axis is examples.

Names in use: 'image', 'label', 'x', 'y', 'tokens', 'latent', and 'index', the
number of each example in the global batch (see `jgan.example_keys`).
"""

Metrics: TypeAlias = Mapping[str, Array | np.ndarray]
"""Scalars by name."""


class LossOutput(NamedTuple):
  """What a loss returns.

  Attributes:
    loss: the scalar that the moving player descends.
    mutated: new values of the moving player's own collections other than
      'params' (batch statistics, a spectral norm's vectors, an image pool);
      nobody else's.
    metrics: scalars to log beside the loss.
  """

  loss: Float[Array, '']
  mutated: Variables = {}
  metrics: Metrics = {}


class LossFn(Protocol):
  """Reads every player's variables and moves one of them.

  A pure function of the variables of all players by name, a batch, a key and
  the step. The step differentiates it with respect to the moving player's
  params alone, so it needs no `stop_gradient`.
  """

  def __call__(
    self,
    variables: Mapping[str, Variables],
    batch: Batch,
    key: PRNGKeyArray,
    step: Int[Array, ''],
  ) -> LossOutput: ...


class Player(NamedTuple):
  """One side of the game: one optimizer over one dict of Linen variables.

  Two players of one name (with different `move`) are two moves of one side:
  they share its variables and its optimizer state, as StyleGAN2's lazy R1
  does beside the discriminator's main loss.

  Attributes:
    name: 'generator', 'discriminator', 'encoder', ...
    loss: the `LossFn` that this player descends.
    optimizer: its optax transformation; one that asks for the `value` of the
      loss is given it. One by `optax.inject_hyperparams` keeps its learning
      rate in `TrainState.opt_state`, to be changed between steps;
      `optax.partition` with `optax.set_to_zero()` for some params freezes
      these. A player left out of `players` is frozen as a whole.
    every: it moves in steps where `(step + 1) % every == 0` (n_critic of the
      generator, lazy penalties), or where the predicate of the step is true
      (phases of a training).
    gradient: how the loss is differentiated: `gradients.whole`,
      `gradients.microbatches(k)` or `gradients.per_example(clip, noise)`, or
      one of these by `rematerialization.rematerialized`.
    ema_decay: keep an exponential moving average of the params, to sample
      from: `ema = decay * ema + (1 - decay) * params` after each move. A
      constant is capped by `(1 + t) / (10 + t)` at step t, so that an early
      average is not the random initialisation; a function of the step is
      taken as it is. None keeps none.
    move: the label of this move where a player has several; None is the main
      one, labelled by the player's name.
  """

  name: str
  loss: LossFn
  optimizer: optax.GradientTransformation
  every: int | Callable[[Any], Any] = 1
  gradient: gradients.GradientFn = gradients.whole
  ema_decay: float | Callable[[Array], Any] | None = None
  move: str | None = None

  @property
  def label(self) -> str:
    """What `moves` calls this move, and the prefix of its metrics."""
    return self.name if self.move is None else self.move


class GAN(NamedTuple):
  """A game: its players in the order in which they move within a step.

  Hashable, hence a static argument of `jax.jit`. Build it once: a rebuilt one
  has new functions inside and compiles again.

  Attributes:
    init: `(key, batch) -> {player name: Variables}`.
    players: the moves of one step, in order.
    sample: `(variables by player, batch, key) -> samples`; how many, and the
      conditions, are the batch's.
  """

  init: Callable[[PRNGKeyArray, Batch], Mapping[str, Variables]]
  players: tuple[Player, ...]
  sample: Callable[[Mapping[str, Variables], Batch, PRNGKeyArray], PyTree]
