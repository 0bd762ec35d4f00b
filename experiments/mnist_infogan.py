"""InfoGAN (Chen et al., 2016) on MNIST: codes that come to mean the digit.

Measured here on one CPU core, a shortened run (--width=32 --steps=1000
--ema-decay=.99, two epochs, 6 minutes of CPU time): a Frechet distance of .80
(95%: .57 to 1.04) in the digit classifier's features, precision .90, recall
.42, by `python -m experiments.evaluate --workdir=WORKDIR --count=5000
--resamples=3`. In the sweep below six of the ten categories are one digit; 4
and 9 share two, and 3, 5 and 8 the others. At full length not measured here;
the paper has no such score.

The grids of a run are of codes at random. For a sweep, the category from column
to column and other noise in each row:

  import numpy as np, jax, jax.numpy as jnp, jgan
  from experiments import pictures, sample
  generate, key = sample.load('/tmp/run'), jax.random.key(0)
  row, column = jnp.divmod(jnp.arange(100), 10)
  noise = jax.random.uniform(key, (10, 62), minval=-1)[row]
  category, continuous = column[:, None], jnp.zeros((100, 2))
  latent = jgan.latents.join_codes(noise, category, continuous, (10,))
  images = jgan.sample(generate.gan, generate.state, {'latent': latent}, key)
  pictures.save_png('sweep.png', pictures.grid(np.asarray(images), 10))

For the continuous codes, in the paper's range: `category = row[:, None]` and
`continuous = jnp.stack([column / 2.25 - 2, 0 * column], 1)`.
"""

import dataclasses

import jgan
from experiments import config as base
from experiments import data

EXTRACTOR = 'digits'  # in whose features samples are scored


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(base.Config):
  """The numbers worth changing."""

  steps: int = 20_000
  batch_size: int = 128
  sample_every: int = 1000
  save_every: int = 1000
  data_dir: str = ''  # of tfds; empty: its default
  noise: int = 62  # entries that mean nothing
  category: int = 10  # values of the category
  continuous: int = 2  # continuous codes
  information_weight: float = 1.0  # lambda
  width: int = 64  # channels at half the resolution
  hidden: int = 1024  # units of dense layers
  generator_learning_rate: float = 1e-3  # Adam's
  discriminator_learning_rate: float = 2e-4  # Adam's
  ema_decay: float = 0.999  # of the generator sampled from


def make_gan(config: Config) -> jgan.GAN:
  return jgan.models.infogan(
    resolution=28,
    channels=1,
    noise=config.noise,
    categories=(config.category,),
    continuous=config.continuous,
    information_weight=config.information_weight,
    width=config.width,
    hidden=config.hidden,
    generator_learning_rate=config.generator_learning_rate,
    discriminator_learning_rate=config.discriminator_learning_rate,
    ema_decay=config.ema_decay,
    dtype=config.dtype,
  )


def make_data(config: Config) -> data.Source:
  return data.tfds_images('mnist', config.data_dir or None)
