"""SNGAN (Miyato et al., 2018) on CIFAR-10, with or without labels.

Measured here on 2 CPU cores, a shortened run without labels (--width=64
--steps=4000 --decay-steps=4000, 800 moves of the generator): a Frechet distance
of 227 in EfficientNet-lite0's features, by `python -m experiments.evaluate
--real=cifar10:train --fake=WORKDIR --count=5000`; colours and textures, no
objects. With labels on one core (--num-classes=10 --width=32 --steps=1500
--decay-steps=1500 --ema-decay=.99, 300 moves of the generator, 8 minutes of CPU
time) 262 (95%: 260 to 263), recall 0, by the same command; blots of colour in a
weave, no objects. At full length not measured here.

Published, of 50,000 samples against the train split by Inception after 100,000
moves of the generator (500,000 steps): without labels IS 7.97 and FID 16.77
(Mimicry, these networks); with --num-classes=10 IS 8.25 and FID 10.84
(Mimicry), IS 8.83 and FID 9.01 (PyTorch-StudioGAN, Adam with b1 = .5 and
b2 = .999).
"""

import dataclasses

import jgan
from experiments import resnet
from experiments.resnet import make_data as make_data


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(resnet.Config):
  """The numbers worth changing."""

  num_classes: int = 0  # 10 plays with labels; 0: without


def make_gan(config: Config) -> jgan.GAN:
  return jgan.models.sngan(
    resolution=32,
    channels=3,
    num_classes=config.num_classes or None,
    latent_dim=config.latent_dim,
    generator_width=config.width,
    discriminator_width=config.width // 2,
    learning_rate=resnet.decayed(config, config.learning_rate),
    n_critic=config.n_critic,
    ema_decay=config.ema_decay,
    dtype=config.dtype,
  )
