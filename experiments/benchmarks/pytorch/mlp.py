"""The perceptrons of `jgan.models.mlp`, without dropout."""

import math

import torch
from torch import Tensor, nn

import jgan
from experiments.benchmarks.pytorch.game import Draws, Game
from experiments.benchmarks.pytorch.losses import (
  non_saturating,
  non_saturating_discriminator,
)

_LATENT = 100
_PIECES = 5


class Generator(nn.Module):
  """Two hidden layers of rectifiers, and tanh."""

  def __init__(self, size: int, width: int):
    super().__init__()
    widths = [_LATENT, width, width, size]
    self.dense = nn.ModuleList(map(nn.Linear, widths[:-1], widths[1:]))

  def forward(self, draws: Draws) -> Tensor:
    first, second, last = self.dense
    return last(second(first(draws['latent']).relu_()).relu_()).tanh()


class Discriminator(nn.Module):
  """Two hidden layers of maxout units."""

  def __init__(self, size: int, width: int):
    super().__init__()
    pieces = width * _PIECES
    self.dense = nn.ModuleList(
      [nn.Linear(size, pieces), nn.Linear(width, pieces), nn.Linear(width, 1)]
    )

  def forward(self, samples: Tensor) -> Tensor:
    first, second, last = self.dense
    return last(_maxout(second(_maxout(first(samples)))))[:, 0]


def _maxout(x):
  return x.reshape(x.shape[0], _PIECES, -1).amax(1)


def game(
  batch: int = 64, size: int = 784, width: int = 1200, maxout: int = 240
) -> Game:
  """The game of `jgan.models.mlp` on flat samples of `size` numbers."""

  def modules():
    return {
      'generator': Generator(size, width),
      'discriminator': Discriminator(size, maxout),
    }

  bound = math.sqrt(3)
  return Game(
    about=f'{width} rectifiers, {maxout} maxout units, no dropout (paper: .5)',
    gan=jgan.models.mlp((size,), width=width, maxout=maxout, dropout=0.0),
    real=(batch, size),
    latent=(batch, _LATENT),
    modules=modules,
    discriminator_loss=non_saturating_discriminator,
    generator_loss=non_saturating,
    draw=lambda device: {
      'latent': torch.empty(batch, _LATENT, device=device).uniform_(
        -bound, bound
      )
    },
  )


def small() -> Game:
  """Few units, for `parity`."""
  return game(batch=4, size=12, width=16, maxout=8)
