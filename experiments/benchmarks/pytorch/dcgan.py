"""The convolutional networks of `jgan.models.dcgan`."""

import itertools

import torch
from torch import Tensor, nn
from torch.nn import functional

import jgan
from experiments.benchmarks.pytorch.game import (
  Draws,
  Game,
  channels_first,
  channels_last,
)
from experiments.benchmarks.pytorch.losses import cross_entropy, non_saturating

_LATENT = 100
_CHANNELS = 3


class Generator(nn.Module):
  """Transposed convolutions from 4x4 to 32x32."""

  def __init__(self, width: int):
    super().__init__()
    widths = [4 * width, 2 * width, width, _CHANNELS]
    self.dense = nn.ModuleList([nn.Linear(_LATENT, 64 * width, bias=False)])
    self.conv_transpose = nn.ModuleList(
      nn.ConvTranspose2d(a, b, 4, 2, 1, bias=b == _CHANNELS)
      for a, b in itertools.pairwise(widths)
    )
    self.batch_norm = nn.ModuleList(map(nn.BatchNorm2d, widths[:-1]))

  def forward(self, draws: Draws) -> Tensor:
    latent = draws['latent']
    x = self.dense[0](latent).reshape(latent.shape[0], 4, 4, -1)
    x = channels_first(x)
    for norm, grow in zip(self.batch_norm, self.conv_transpose, strict=True):
      x = grow(norm(x).relu_())
    return x.tanh()


class Discriminator(nn.Module):
  """Strided convolutions from 32x32 to 4x4."""

  def __init__(self, width: int):
    super().__init__()
    widths = [_CHANNELS, width, 2 * width, 4 * width]
    self.conv = nn.ModuleList(
      nn.Conv2d(a, b, 4, 2, 1, bias=a == _CHANNELS)
      for a, b in itertools.pairwise(widths)
    )
    self.batch_norm = nn.ModuleList(map(nn.BatchNorm2d, widths[2:]))
    self.dense = nn.ModuleList([nn.Linear(64 * width, 1)])

  def forward(self, pictures: Tensor) -> Tensor:
    x = functional.leaky_relu(self.conv[0](pictures), 0.2, inplace=True)
    for conv, norm in zip(self.conv[1:], self.batch_norm, strict=True):
      x = functional.leaky_relu(norm(conv(x)), 0.2, inplace=True)
    return self.dense[0](channels_last(x).flatten(1))[:, 0]


def discriminator_loss(
  discriminator: nn.Module, real: Tensor, fake: Tensor, draws: Draws
) -> Tensor:
  """Two calls, since each has batch statistics of its own."""
  return cross_entropy(discriminator(real), discriminator(fake))


def game(width: int = 32, batch: int = 64) -> Game:
  """The game of `jgan.models.dcgan` on coloured pictures of 32x32."""

  def modules():
    return {
      'generator': Generator(width),
      'discriminator': Discriminator(width),
    }

  return Game(
    about=f'32x32, width {width}',
    gan=jgan.models.dcgan(32, _CHANNELS, width=width),
    real=(batch, 32, 32, _CHANNELS),
    latent=(batch, _LATENT),
    modules=modules,
    discriminator_loss=discriminator_loss,
    generator_loss=non_saturating,
    draw=lambda device: {'latent': torch.randn(batch, _LATENT, device=device)},
  )


def small() -> Game:
  """Few units, for `parity`."""
  return game(width=4, batch=4)
