"""The residual networks of `jgan.models.sngan`, spectrally normalised."""

import torch
from torch import Tensor, nn
from torch.nn import functional

import jgan
from experiments.benchmarks.pytorch import resnet
from experiments.benchmarks.pytorch.game import Draws, Game
from experiments.benchmarks.pytorch.losses import judged


class Conv(nn.Conv2d):
  """A convolution whose kernel is divided by its largest singular value.

  One power iteration a call, as of `jgan.layers.SpectralNorm`. It is kept while
  the kernel takes gradients, in the discriminator's own move.
  """

  def __init__(self, *args: int, **options: int):
    super().__init__(*args, **options)
    self.register_buffer('u', torch.zeros(1, self.out_channels))

  def forward(self, x: Tensor) -> Tensor:
    # Channels are last in memory, so that this is a view.
    matrix = self.weight.permute(0, 2, 3, 1).flatten(1)
    kernel = self.weight / largest_singular_value(matrix, self.u)
    return self._conv_forward(x, kernel, self.bias)


class Dense(nn.Linear):
  """A linear layer, likewise."""

  def __init__(self, inputs: int, features: int):
    super().__init__(inputs, features)
    self.register_buffer('u', torch.zeros(1, features))

  def forward(self, x: Tensor) -> Tensor:
    kernel = self.weight / largest_singular_value(self.weight, self.u)
    return functional.linear(x, kernel, self.bias)


def largest_singular_value(matrix: Tensor, u: Tensor) -> Tensor:
  """An estimate by one power iteration from u, which moves if it may."""
  with torch.no_grad():
    v = functional.normalize(u @ matrix)
    now = functional.normalize(v @ matrix.T)
    if matrix.requires_grad:
      u.copy_(now)
  return (v @ matrix.T @ now.T)[0, 0]


class Discriminator(resnet.Features):
  """Pictures to logits, by the sum of features over pixels."""

  def __init__(self, width: int):
    super().__init__(width, Conv)
    self.dense = nn.ModuleList([Dense(width, 1)])

  def forward(self, pictures: Tensor) -> Tensor:
    return self.dense[0](self.features(pictures).sum((2, 3)))[:, 0]


def discriminator_loss(
  discriminator: nn.Module, real: Tensor, fake: Tensor, draws: Draws
) -> Tensor:
  """The hinge loss."""
  real_logits, fake_logits = judged(discriminator, real, fake)
  return (1 - real_logits).relu().mean() + (1 + fake_logits).relu().mean()


def generator_loss(discriminator: nn.Module, fake: Tensor) -> Tensor:
  """The critic's value, raised."""
  return -discriminator(fake).mean()


def game(width: int = 32, batch: int = 16, n_critic: int = 5) -> Game:
  """The game of `jgan.models.sngan`, of one width on both sides."""

  def modules():
    return {
      'generator': resnet.Generator(width),
      'discriminator': Discriminator(width),
    }

  return Game(
    about=f'ResNet-32, widths {width} (paper: 256, 128; batch 64)',
    gan=jgan.models.sngan(
      generator_width=width, discriminator_width=width, n_critic=n_critic
    ),
    real=(batch, 32, 32, resnet.CHANNELS),
    latent=(batch, resnet.LATENT),
    modules=modules,
    discriminator_loss=discriminator_loss,
    generator_loss=generator_loss,
    draw=lambda device: {
      'latent': torch.randn(batch, resnet.LATENT, device=device)
    },
  )


def small() -> Game:
  """Few units, for `parity`."""
  return game(width=4, batch=4)
