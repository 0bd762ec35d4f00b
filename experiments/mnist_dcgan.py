"""DCGAN on MNIST, from tensorflow-datasets, with or without labels.

Measured here on one CPU core (jax 0.10.2), a narrower and shorter run without
labels (--width=32 --steps=4000, 6 minutes of CPU time): a Frechet distance of
4.0 (95%: 3.6 to 4.4) in the digit classifier's features, precision .60, recall
.80, by `python -m experiments.evaluate --workdir=WORKDIR --count=5000
--resamples=3`. In the grid about two thirds are legible digits, the others
strokes between two of them. At full width and length not measured here.
"""

import dataclasses

import jgan
from experiments import data, dcgan

EXTRACTOR = 'digits'  # in whose features samples are scored


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(dcgan.Config):
  """The numbers worth changing."""

  data_dir: str = ''  # of tfds; empty: its default


def make_gan(config: Config) -> jgan.GAN:
  return dcgan.make_gan(config, resolution=32, channels=1)


def make_data(config: Config) -> data.Source:
  return data.tfds_images('mnist', config.data_dir or None, resolution=32)
