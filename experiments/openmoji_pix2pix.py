"""pix2pix (Isola et al., 2017) colours line drawings of emoji, 64x64.

--path names an npz of OpenMoji's drawings: 'line' uint8 [N, 64, 64] and 'color'
uint8 [N, 64, 64, 3], with 'hexcode', 'group' and 'base'. A part of the emoji
with all their variants is held out; grids and scores are of those.

Measured here on one CPU core (jax 0.10.2), of 437 held-out drawings, after the
default 8,000 steps, 26 minutes beside other work: a mean absolute error of .058
of levels from 0 to 1 (of the drawings themselves, uncoloured: .072), 18.9 dB
(20.8: they leave the white ground exact) and a kernel distance of .031 (.067)
in EfficientNet-lite0's features, by

  python -m experiments.train openmoji-pix2pix --workdir=/tmp/run
  python -m experiments.evaluate --workdir=/tmp/run

with --path. Faces are yellow, clothes blue, water and hair what they should be,
and lines whole; the hue of a square or a flag cannot be known from its lines,
and comes out mottled. After 1,000 steps the three scores were .067, 17.6 dB and
.033; with --no-batch-norm --learning-rate=2e-4 --steps=3201 .065, 17.5 dB and
.050.

Published scores are of other sets (FID 125 on facades, MMGeneration).
"""

import dataclasses
import functools

import jgan
from experiments import data, pix2pix, translation
from experiments.modality import Modality

LOWER_IS_BETTER = pix2pix.LOWER_IS_BETTER
HIGHER_IS_BETTER = pix2pix.HIGHER_IS_BETTER
score = pix2pix.score


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(pix2pix.Config):
  """The numbers worth changing."""

  steps: int = 8000
  batch_size: int = 8
  save_every: int = 1000
  width: int = 16
  discriminator_width: int = 16
  layers: int = 2
  batch_norm: bool = True
  learning_rate: float = 1e-3
  ema_decay: float = 0.99
  skin_tones: bool = False  # also variants in skin tone
  flags: bool = False  # also flags, all of one line


def make_gan(config: Config) -> jgan.GAN:
  return pix2pix.make_gan(config, resolution=64, channels=3)


def make_data(config: Config) -> data.Source:
  source, held_out = _parts(config)
  translation.check_held_out(config, len(held_out))
  return source


def make_conditions(config: Config, count: int) -> jgan.Batch:
  return translation.conditions(_parts(config)[1], count)


def make_modality(config: Config) -> Modality:
  del config
  return translation.modality()


def load_inputs(config: Config, path: str) -> jgan.Batch:
  del config
  return translation.inputs({'x': data.pictures(path, 64, 1)})


@functools.lru_cache(maxsize=1)  # each grid of samples asks for them
def _parts(config):
  return data.openmoji(
    config.path, skin_tones=config.skin_tones, flags=config.flags
  )
