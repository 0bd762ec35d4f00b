"""Recurrent networks, one layer of gated units each, on series."""

import flax.linen as linen
import optax
import torch
from torch import Tensor, nn

import jgan
from experiments.benchmarks.pytorch.game import Draws, Game
from experiments.benchmarks.pytorch.losses import (
  non_saturating,
  non_saturating_discriminator,
)


class LinenSeries(linen.Module):
  """A GRU over the input, and in each step a linear layer of its state."""

  hidden: int
  features: int

  @linen.compact
  def __call__(self, series, label, *, train):
    cell = linen.GRUCell(self.hidden, name='gru')
    return linen.Dense(self.features, name='dense')(linen.RNN(cell)(series))


class LinenGenerator(linen.Module):
  """Noise in each step to series in [0, 1]."""

  hidden: int
  features: int

  @linen.compact
  def __call__(self, latent, label, *, train):
    network = LinenSeries(self.hidden, self.features, name='series')
    return linen.sigmoid(network(latent, label, train=train))


class LinenDiscriminator(linen.Module):
  """Series to a logit in each step."""

  hidden: int

  @linen.compact
  def __call__(self, series, label, *, train):
    network = LinenSeries(self.hidden, 1, name='series')
    return network(series, label, train=train)[..., 0]


class Series(nn.Module):
  """The same in PyTorch."""

  def __init__(self, inputs: int, hidden: int, features: int):
    super().__init__()
    self.gru = nn.GRU(inputs, hidden, batch_first=True)
    self.dense = nn.Linear(hidden, features)
    # PyTorch adds two biases in each gate. Where one is redundant it stays 0.
    learned = torch.arange(3 * hidden) >= 2 * hidden
    self.gru.bias_hh_l0.register_hook(lambda gradient: gradient * learned)

  def forward(self, series: Tensor) -> Tensor:
    states, _ = self.gru(series)
    return self.dense(states)


class Generator(nn.Module):
  """Noise in each step to series in [0, 1]."""

  def __init__(self, inputs: int, hidden: int, features: int):
    super().__init__()
    self.series = Series(inputs, hidden, features)

  def forward(self, draws: Draws) -> Tensor:
    return self.series(draws['latent']).sigmoid()


class Discriminator(nn.Module):
  """Series to a logit in each step."""

  def __init__(self, features: int, hidden: int):
    super().__init__()
    self.series = Series(features, hidden, 1)

  def forward(self, series: Tensor) -> Tensor:
    return self.series(series)[..., 0]


def game(
  hidden: int = 24, batch: int = 128, length: int = 24, features: int = 6
) -> Game:
  """A standard game of series of `length` steps of `features` numbers."""

  def modules():
    return {
      'generator': Generator(features, hidden, features),
      'discriminator': Discriminator(features, hidden),
    }

  def latent(key):
    return jgan.latents.normal(length * features)(key).reshape(length, features)

  shape = batch, length, features
  gan = jgan.standard_gan(
    LinenGenerator(hidden, features),
    LinenDiscriminator(hidden),
    loss=jgan.losses.non_saturating,
    generator_optimizer=optax.adam(2e-4),
    discriminator_optimizer=optax.adam(2e-4),
    latent=latent,
  )
  return Game(
    about=f'{length} steps of {features} numbers, hidden {hidden}',
    gan=gan,
    real=shape,
    latent=shape,
    modules=modules,
    discriminator_loss=non_saturating_discriminator,
    generator_loss=non_saturating,
    draw=lambda device: {'latent': torch.randn(shape, device=device)},
  )


def small() -> Game:
  """Few units, for `parity`."""
  return game(hidden=5, batch=3, length=4, features=2)
