"""The residual networks of `jgan.models.wgan_gp`, and its penalty."""

import jax
import torch
from torch import Tensor, nn

import jgan
from experiments.benchmarks.pytorch import resnet
from experiments.benchmarks.pytorch.game import Draws, Game
from experiments.benchmarks.pytorch.losses import judged
from experiments.benchmarks.pytorch.sngan import generator_loss
from jgan import standard


class Critic(resnet.Features):
  """Pictures to values, by the mean of features over pixels."""

  def __init__(self, width: int):
    super().__init__(width, nn.Conv2d)
    self.dense = nn.ModuleList([nn.Linear(width, 1, bias=False)])

  def forward(self, pictures: Tensor) -> Tensor:
    return self.dense[0](self.features(pictures).mean((2, 3)))[:, 0]


def critic_loss(
  critic: nn.Module, real: Tensor, fake: Tensor, draws: Draws
) -> Tensor:
  """The difference of values, and the penalty on slopes between."""
  real_values, fake_values = judged(critic, real, fake)
  epsilon = draws['epsilon'][:, None, None, None]
  between = fake.lerp(real, epsilon).requires_grad_()
  # A module that is compiled has no second derivatives; its forward is not.
  values = critic.forward(between).sum()
  (slope,) = torch.autograd.grad(values, between, create_graph=True)
  norm = torch.linalg.vector_norm(slope, dim=(1, 2, 3))  # 0 has a slope
  distance = fake_values.mean() - real_values.mean()
  return distance + 10 * (norm - 1).square().mean()


def jgan_draws(
  state: jgan.TrainState, batch: jgan.Batch, key: jax.Array
) -> Draws:
  """Where between a real and a fake jgan's penalty is taken in a step."""
  key = jax.random.fold_in(jax.random.fold_in(key, 1), state.step)
  keys = jgan.example_keys(jax.random.fold_in(key, standard._PENALTY), batch)
  return {'epsilon': jax.vmap(jax.random.uniform)(keys)}


def game(width: int = 32, batch: int = 16, n_critic: int = 5) -> Game:
  """The game of `jgan.models.wgan_gp`, of one width on both sides."""

  def modules():
    return {
      'generator': resnet.Generator(width),
      'discriminator': Critic(width),
    }

  def draw(device):
    latent = torch.randn(batch, resnet.LATENT, device=device)
    return {'latent': latent, 'epsilon': torch.rand(batch, device=device)}

  return Game(
    about=f'ResNet-32, widths {width} (paper: 128; batch 64)',
    gan=jgan.models.wgan_gp(
      generator_width=width, critic_width=width, n_critic=n_critic
    ),
    real=(batch, 32, 32, resnet.CHANNELS),
    latent=(batch, resnet.LATENT),
    modules=modules,
    discriminator_loss=critic_loss,
    generator_loss=generator_loss,
    draw=draw,
    jgan_draws=jgan_draws,
  )


def small() -> Game:
  """Few units, for `parity`."""
  return game(width=4, batch=4)
