"""Adversarial losses in PyTorch, of networks that judge examples apart.

Reals and fakes pass the discriminator in one call, which is the same function
where it treats each example separately.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from experiments.benchmarks.pytorch.game import Draws


def judged(
  discriminator: nn.Module, real: Tensor, fake: Tensor
) -> tuple[Tensor, Tensor]:
  """Logits of reals and of fakes, by one call."""
  logits = discriminator(torch.cat([real, fake]))
  real_logits, fake_logits = logits.chunk(2)
  return real_logits, fake_logits


def cross_entropy(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
  """Goodfellow et al.'s loss of the discriminator."""
  real = functional.softplus(-real_logits).mean()
  return real + functional.softplus(fake_logits).mean()


def non_saturating(discriminator: nn.Module, fake: Tensor) -> Tensor:
  """Goodfellow et al.'s second generator."""
  return functional.softplus(-discriminator(fake)).mean()


def non_saturating_discriminator(
  discriminator: nn.Module, real: Tensor, fake: Tensor, draws: Draws
) -> Tensor:
  """`cross_entropy`, reals and fakes in one call."""
  return cross_entropy(*judged(discriminator, real, fake))
