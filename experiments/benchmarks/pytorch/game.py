"""A game in both frameworks, and the step that plays it in PyTorch."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import torch
from torch import Tensor, nn

import jgan

Draws = Mapping[str, Any]
"""What is random in a step: 'latent', and what a game's losses need besides."""

Modules = Mapping[str, nn.Module]
"""'generator' and 'discriminator', as the players of jgan's games are named.

A generator is called with the draws of the step and makes samples, the
discriminator with samples and makes logits.
"""


def _none(state: jgan.TrainState, batch: jgan.Batch, key: jax.Array) -> Draws:
  """No draws of jgan's step but its latents."""
  return {}


class Game(NamedTuple):
  """One game, written twice.

  Attributes:
    about: the networks' sizes, and the paper's where they are others.
    gan: jgan's.
    real: shape of `batch['image']`, as jgan has it.
    latent: shape of `batch['latent']`.
    modules: makes PyTorch's networks. Their names are those of Linen's params,
      see `linen.state_dict`; pictures are NCHW, channels last in memory.
    discriminator_loss: `(discriminator, real, fake, draws) -> loss`.
    generator_loss: `(discriminator, fake) -> loss`.
    draw: `(device) -> ` PyTorch's draws of a step, made there.
    penalty_loss: `(discriminator, real) -> loss` of the lazy move 'penalty';
      None in games that have none.
    jgan_draws: what jgan's step from a state draws beside its latents.
  """

  about: str
  gan: jgan.GAN
  real: tuple[int, ...]
  latent: tuple[int, ...]
  modules: Callable[[], Modules]
  discriminator_loss: Callable[..., Tensor]
  generator_loss: Callable[[nn.Module, Tensor], Tensor]
  draw: Callable[[torch.device], Draws]
  penalty_loss: Callable[[nn.Module, Tensor], Tensor] | None = None
  jgan_draws: Callable[[jgan.TrainState, jgan.Batch, jax.Array], Draws] = _none


def step(
  game: Game,
  modules: Modules,
  optimizers: Mapping[str, torch.optim.Optimizer],
  real: Tensor,
  draws: Draws,
  moves: Sequence[str],
) -> dict[str, Tensor]:
  """One step: who moves, in the order and with the losses of jgan's.

  One forward of the generator serves both players. While the generator moves
  the discriminator's weights take no gradient.

  Args:
    game: the game.
    modules: its networks; updated in place.
    optimizers: by player.
    real: samples, pictures as NCHW.
    draws: of this step.
    moves: labels of who moves.

  Returns:
    The loss of each move, by label.
  """
  generator, discriminator = modules['generator'], modules['discriminator']
  losses = {}

  def move(player, loss, label):
    # A penalty may not depend on a bias, whose momentum moves it all the same:
    # it needs a gradient of zero, and not none.
    optimizers[player].zero_grad(set_to_none=label != 'penalty')
    loss.backward()
    optimizers[player].step()
    losses[label] = loss.detach()

  if 'generator' in moves:
    fake = generator(draws)
  elif 'discriminator' in moves:
    with torch.no_grad():
      fake = generator(draws)
  if 'discriminator' in moves:
    seen = fake.detach()
    loss = game.discriminator_loss(discriminator, real, seen, draws)
    move('discriminator', loss, 'discriminator')
  if 'penalty' in moves:
    loss = game.penalty_loss(discriminator, real)
    move('discriminator', loss, 'penalty')
  if 'generator' in moves:
    discriminator.requires_grad_(False)
    move('generator', game.generator_loss(discriminator, fake), 'generator')
    discriminator.requires_grad_(True)
  return losses


def channels_first(pictures: Tensor) -> Tensor:
  """NHWC as NCHW, not moved in memory; other arrays as they are."""
  return pictures.permute(0, 3, 1, 2) if pictures.ndim == 4 else pictures


def channels_last(pictures: Tensor) -> Tensor:
  """NCHW as NHWC, not moved in memory where channels are last there."""
  return pictures.permute(0, 2, 3, 1)
