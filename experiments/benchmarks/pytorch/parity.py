"""Whether a game is the same in both frameworks, by what it computes."""

from collections.abc import Mapping
from typing import NamedTuple

import jax
import numpy as np
import optax
import torch

import jgan
from experiments.benchmarks.pytorch import device as devices
from experiments.benchmarks.pytorch import linen
from experiments.benchmarks.pytorch.game import (
  Game,
  Modules,
  channels_first,
  step,
)

STEPS = 5
MOMENTUM = 0.9
TOLERANCE = 1e-4
_RATE, _SLOW = 0.02, 1e-4  # of gradient descent


class Difference(NamedTuple):
  """How far two plays of one game lie apart.

  Of each array the largest difference, relative to its largest number.

  Attributes:
    losses: of any move.
    params: of any array, spectral norms' vectors included.
    momenta: of any array's gradients, summed up over the steps with weights
      that fall by `MOMENTUM`. Params that hardly move say little of them.
  """

  losses: float
  params: float
  momenta: float

  @property
  def small(self) -> bool:
    """Whether the plays agree; not where a number is NaN."""
    return all(x <= TOLERANCE for x in self)


def refusal(game: Game, small: Game, device: torch.device = devices.CPU) -> str:
  """Why a game compares nothing, or nothing.

  Losses, params and momenta must agree in its small version. Of the game itself
  only losses must, of slow play: among as many rectifiers as it has some are so
  near to zero that rounding turns them, and gradients with them; then even one
  framework differs from itself, where examples come in another order.

  Args:
    game: both sides of it.
    small: the same with few units.
    device: PyTorch's.
  """
  with devices.exact(device):
    return _refusal(game, small, device)


def _refusal(game, small, device):
  apart = difference(small, device=device)
  if not apart.small:
    return f'its small version is not the same: {apart}'
  apart = difference(game, _SLOW, device=device)
  if not apart.losses <= TOLERANCE:
    return f'it is not the same: {apart}'
  return ''


def difference(
  game: Game,
  rate: float = _RATE,
  seed: int = 0,
  device: torch.device = devices.CPU,
) -> Difference:
  """Plays some steps in both frameworks, from the same params and draws.

  All players move in every step, by gradient descent: Adam's first steps are of
  one size however small a gradient, and so would be those of rounding.

  Args:
    game: both sides of it.
    rate: of gradient descent.
    seed: of params, reals and latents.
    device: PyTorch's.
  """
  gan = with_optimizer(game.gan, optax.sgd(rate, MOMENTUM))
  key, rng = jax.random.key(seed), np.random.default_rng(seed)
  state = jgan.init(gan, key, {'image': _uniform(rng, game.real)})
  modules = copied(game, state, device)
  optimizers = {
    name: torch.optim.SGD(module.parameters(), rate, MOMENTUM)
    for name, module in modules.items()
  }
  everyone = tuple(player.label for player in gan.players)
  jgan_draws = jax.jit(game.jgan_draws)

  def there(array):
    return torch.from_numpy(np.array(array)).to(device)

  losses = []
  for _ in range(STEPS):
    latent = rng.standard_normal(game.latent, np.float32)
    batch = {'image': _uniform(rng, game.real), 'latent': latent}
    draws = {'latent': latent, **jgan_draws(state, batch, key)}
    theirs = step(
      game,
      modules,
      optimizers,
      channels_first(there(batch['image'])),
      jax.tree.map(there, draws),
      everyone,
    )
    state, ours = jgan.train_step(gan, state, batch, key, moves=everyone)
    losses.append(_apart({k: ours[f'{k}/loss'] for k in theirs}, theirs))
  players = modules.items()
  params = [
    _apart(linen.state_dict(module, state.variables[name]), module.state_dict())
    for name, module in players
  ]
  momenta = [
    _apart(
      linen.state_dict(module, {'params': state.opt_state[name][0].trace}),
      _momenta(module, optimizers[name]),
    )
    for name, module in players
  ]
  return Difference(*(float(np.max(x)) for x in (losses, params, momenta)))


def with_optimizer(
  gan: jgan.GAN, optimizer: optax.GradientTransformation
) -> jgan.GAN:
  """The game with one optimizer for all, and no averages of params."""
  players = (
    player._replace(optimizer=optimizer, ema_decay=None)
    for player in gan.players
  )
  return gan._replace(players=tuple(players))


def copied(
  game: Game, state: jgan.TrainState, device: torch.device = devices.CPU
) -> Modules:
  """PyTorch's networks with the params of a state, on a device.

  Raises:
    ValueError: they are not the same params.
  """
  modules = game.modules()
  for name, module in modules.items():
    arrays = linen.state_dict(module, state.variables[name])
    needed = {name for name, _ in module.named_parameters()}
    if missing := needed - set(arrays):
      raise ValueError(f"Linen's {name} lacks PyTorch's {sorted(missing)}.")
    module.load_state_dict({**module.state_dict(), **arrays})
    module.to(device, memory_format=torch.channels_last)
  return modules


def _momenta(module, optimizer):
  return {
    name: optimizer.state[param]['momentum_buffer']
    for name, param in module.named_parameters()
  }


def _uniform(rng, shape):
  return rng.uniform(-1, 1, shape).astype(np.float32)


def _apart(ours: Mapping, theirs: Mapping) -> float:
  """The largest relative difference of any array; NaN if there is a NaN."""
  return np.max([_relative(x, theirs[name]) for name, x in ours.items()])


def _relative(ours, theirs):
  ours, theirs = (_numbers(x) for x in (ours, theirs))
  size = max(np.abs(ours).max(), 1e-30)
  return np.abs(ours - theirs).max() / size


def _numbers(x):
  return np.float64(x.cpu().numpy() if isinstance(x, torch.Tensor) else x)
