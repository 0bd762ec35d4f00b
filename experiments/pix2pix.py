"""What the experiments with pix2pix share: its numbers, it, and its scores."""

import dataclasses

import numpy as np

import jgan
from experiments import config as base
from experiments import extractors, scoring, translation
from experiments.sampler import Sampler
from experiments.scoring import Score

LOWER_IS_BETTER = ('kernel_distance', 'l1')
HIGHER_IS_BETTER = ('psnr',)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(base.Config):
  """The numbers worth changing; a docstring is help also where overridden."""

  best_by: str = 'kernel_distance'
  path: str = ''
  """where the pairs are"""
  width: int = 64
  """U-Net's channels at half the size"""
  discriminator_width: int = 64
  """the discriminator's there"""
  layers: int = 3
  """patches: 16, 34, 70 pixels of 1-3"""
  batch_norm: bool = False
  """over the batch; else each alone"""
  dropout: float = 0.5
  """the generator's noise"""
  sampling_noise: bool = True
  """dropout also in sampling"""
  l1_weight: float = 100.0
  """of the mean absolute error"""
  learning_rate: float = 2e-4
  """Adam's, of both players"""
  constant_steps: int = 0
  """steps before the rate falls"""
  decay_steps: int = 0
  """steps of its fall to 0; 0: none"""
  ema_decay: float = 0.0
  """of the generator sampled from"""


def make_gan(config: Config, resolution: int, channels: int) -> jgan.GAN:
  """The pix2pix of these numbers, whose translations have this form."""
  rate = translation.decayed(
    config.learning_rate,
    config.constant_steps,
    config.decay_steps,
    config.steps,
  )
  return jgan.models.pix2pix(
    resolution,
    channels,
    width=config.width,
    discriminator_width=config.discriminator_width,
    layers=config.layers,
    dropout=config.dropout,
    sampling_noise=config.sampling_noise,
    batch_norm=config.batch_norm,
    reconstruction_weight=config.l1_weight,
    learning_rate=rate,
    ema_decay=config.ema_decay or None,
    dtype=config.dtype,
  )


def score(
  config: Config, generate: Sampler, count: int, seed: int
) -> scoring.Report:
  """How far translations of held-out inputs are from the truth.

  'l1' is the mean absolute error, of levels from 0 to 1; 'psnr' is in decibels,
  averaged over pictures; 'kernel_distance' compares the set of translations
  with that of truths, in EfficientNet's features, and so does
  'frechet_distance' where there are as many pictures as features have
  dimensions. The same of the inputs, as if they were translations, ends in
  '_of_inputs'.
  """
  asked = generate.conditions(count)
  x, truth = (translation.levels(asked[name]) for name in ('x', 'y'))
  made = translation.levels(generate.make(asked, seed))
  extractor = extractors.efficientnet()
  true_features = translation.features(extractor, truth)
  found = {}
  for end, images in (('', made), ('_of_inputs', x)):
    own_features = translation.features(extractor, images)
    scores = {
      'l1': l1(images, truth),
      'psnr': psnr(images, truth),
      **translation.distances(true_features, own_features),
    }
    found |= {f'{name}{end}': Score(x) for name, x in scores.items()}
  protocol = {
    'pairs': 'held out',
    'real_count': len(truth),
    'fake_count': len(made),
    'extractor': extractor.name,
    'weights_sha256': extractor.sha256,
    'resize': extractor.resize,
    'sampling_noise': config.sampling_noise,
  }
  return scoring.Report(found, protocol)


def l1(images: np.ndarray, truth: np.ndarray) -> float:
  """The mean absolute error of uint8 pictures, of levels from 0 to 1."""
  return float(np.abs(_difference(images, truth)).mean())


def psnr(images: np.ndarray, truth: np.ndarray) -> float:
  """The peak signal-to-noise ratio of uint8 pictures, averaged over them.

  `-10 log10` of the mean squared error of levels from 0 to 1, in decibels; 100
  of equal pictures.
  """
  squares = _difference(images, truth) ** 2
  # float64: in float32 the logarithm's last digit differs between machines.
  squares = squares.mean((1, 2, 3), dtype=np.float64)
  return float(np.mean(-10 * np.log10(np.maximum(squares, 1e-10))))


def _difference(images, truth):
  # float32: in uint8 differences would wrap around.
  return (images.astype(np.float32) - truth.astype(np.float32)) / 255
