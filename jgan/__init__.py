"""Train generative adversarial networks in JAX: a GAN is a small value.

>>> import jax, jax.numpy as jnp, jgan
>>> gan = jgan.models.dcgan(resolution=8, channels=1, width=4)
>>> key = jax.random.key(0)
>>> batch = {'image': jnp.zeros((8, 8, 8, 1))}  # in [-1, 1]
>>> state = jgan.init(gan, key, batch)
>>> for _ in range(2):
...   state, metrics = jgan.train_step(gan, state, batch, key)
>>> sorted(m for m in metrics if 'loss' in m)
['discriminator/loss', 'generator/loss']
>>> images = jgan.sample(gan, state, {'index': jnp.arange(4)}, key)
>>> images.shape
(4, 8, 8, 1)

Own networks play through `jgan.standard_gan`, another game is a tuple of
`jgan.Player`, and `jgan.train_step` plays them all.
"""

from jgan import (
  ada,
  augment,
  common_subexpressions,
  gradients,
  initializers,
  latents,
  layers,
  losses,
  metrics,
  models,
  penalties,
  regularizers,
  rematerialization,
  schedules,
  sharding,
)
from jgan.gan import GAN, Batch, LossFn, LossOutput, Metrics, Player, Variables
from jgan.sharding import example_keys
from jgan.standard import Tracker, standard_gan
from jgan.statistics import standing_statistics
from jgan.train import (
  TrainState,
  average_metrics,
  init,
  moves,
  sample,
  train_step,
  train_steps,
  update,
)

__all__ = [
  'GAN',
  'Batch',
  'LossFn',
  'LossOutput',
  'Metrics',
  'Player',
  'Tracker',
  'TrainState',
  'Variables',
  'ada',
  'augment',
  'average_metrics',
  'common_subexpressions',
  'example_keys',
  'gradients',
  'init',
  'initializers',
  'latents',
  'layers',
  'losses',
  'metrics',
  'models',
  'moves',
  'penalties',
  'regularizers',
  'rematerialization',
  'sample',
  'schedules',
  'sharding',
  'standard_gan',
  'standing_statistics',
  'train_step',
  'train_steps',
  'update',
]
