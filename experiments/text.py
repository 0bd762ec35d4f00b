"""SeqGAN (Yu et al., 2017) on your own texts: a file of lines, a text each.

Of characters, or with --words of words. A run learns by likelihood for
--likelihood-steps, then plays the game; it shows samples beside texts of the
data, as a picture and as a .txt. A tenth of the texts is held out, and
compared with.

  python -m experiments.train text --workdir=runs/mine --path=mine.txt
  python -m experiments.evaluate --workdir=runs/mine
  python -m experiments.sample --workdir=runs/mine --count=1000 --files=made/

The scores are those of experiments/language.py. To see what the game adds to
likelihood, train with --steps of --likelihood-steps, evaluate, and go on with
more --steps in the same workdir. Measured: see names-seqgan, captions-seqgan.
"""

import dataclasses

import jgan
from experiments import language
from experiments.language import (
  HIGHER_IS_BETTER,
  LOWER_IS_BETTER,
  make_data,
  make_modality,
  remark,
  score,
)

__all__ = [
  'HIGHER_IS_BETTER',
  'LOWER_IS_BETTER',
  'Config',
  'make_data',
  'make_gan',
  'make_modality',
  'remark',
  'score',
]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(language.Config):
  """The numbers worth changing."""

  generator_rate: float = 5e-4
  discriminator_steps: int = 500
  """of the discriminator alone, then"""
  n_critic: int = 5
  """its moves to a generator's"""
  rollouts: int = 4
  """that complete a beginning"""
  l2: float = 0.0
  """on the discriminator's last layer"""


def make_gan(config: Config) -> jgan.GAN:
  return jgan.models.seqgan(
    **language.arguments(config),
    discriminator_steps=config.discriminator_steps,
    n_critic=config.n_critic,
    rollouts=config.rollouts,
    l2=config.l2,
  )
