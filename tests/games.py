"""A small game that has everything: norms of both kinds, labels, dropout."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax

import jgan
from jgan.layers import BatchNorm, ConditionalBatchNorm, SpectralNorm

CLASSES = 3


class Generator(nn.Module):
  axis_name: str | None = None

  @nn.compact
  def __call__(self, latent, label, *, train):
    label = jax.nn.one_hot(label, CLASSES)
    x = nn.Dense(4 * 4 * 6, name='dense')(latent).reshape(-1, 4, 4, 6)
    norm = ConditionalBatchNorm(
      nn.initializers.normal(0.5), axis_name=self.axis_name
    )
    x = nn.relu(norm(x, label, use_running_average=not train))
    x = jgan.layers.ConvTranspose(4, (4, 4), (2, 2))(x)
    norm = BatchNorm(0.9, axis_name=self.axis_name)
    x = nn.relu(norm(x, use_running_average=not train))
    return jnp.tanh(nn.Conv(1, (3, 3))(x))


class Discriminator(nn.Module):
  axis_name: str | None = None

  @nn.compact
  def __call__(self, image, label, *, train):
    label = jax.nn.one_hot(label, CLASSES)
    conv = SpectralNorm(nn.Conv(6, (4, 4), (2, 2)))
    x = nn.leaky_relu(conv(image, update_stats=train), 0.2)
    x = nn.Conv(8, (4, 4), (2, 2))(x)
    norm = BatchNorm(0.9, axis_name=self.axis_name)
    x = norm(x, use_running_average=not train)
    x = nn.leaky_relu(x, 0.2).mean((1, 2))
    # Not concatenated: jax 0.7 cannot differentiate that in a shard_map that
    # checks replication.
    return nn.Dense(1)(x + nn.Dense(8)(label))[:, 0]


def labelled(loss):
  """The loss with labels drawn at random, one from each example's key."""

  def with_labels(variables, batch, key, step):
    keys = jgan.example_keys(jax.random.fold_in(key, 99), batch)
    label = jax.vmap(lambda k: jax.random.randint(k, (), 0, CLASSES))(keys)
    return loss(variables, {**batch, 'label': label}, key, step)

  return with_labels


def game(axis_name=None, optimizer=None, **arguments) -> jgan.GAN:
  optimizer = optimizer or optax.sgd(0.05)
  arguments = {'loss': jgan.losses.non_saturating, **arguments}
  gan = jgan.standard_gan(
    Generator(axis_name),
    Discriminator(axis_name),
    generator_optimizer=optimizer,
    discriminator_optimizer=optimizer,
    latent=jgan.latents.normal(5),
    axis_name=axis_name,
    **arguments,
  )
  players = tuple(p._replace(loss=labelled(p.loss)) for p in gan.players)
  return gan._replace(players=players)


def batch(n=16, seed=0):
  image = jax.random.normal(jax.random.key(seed), (n, 8, 8, 1))
  return {
    'image': jnp.tanh(image),
    'label': jnp.arange(n) % CLASSES,
    'index': jnp.arange(n, dtype=jnp.int32),
  }


def assert_close(got, expected, tolerance=1e-5):
  """Every array of two trees, to an absolute tolerance; the worst is named."""
  assert jax.tree.structure(got) == jax.tree.structure(expected)
  errors = {
    jax.tree_util.keystr(path): float(np.abs(a - b).max())
    for (path, a), b in zip(
      jax.tree_util.tree_leaves_with_path(jax.device_get(got)),
      jax.tree.leaves(jax.device_get(expected)),
      strict=True,
    )
  }
  worst = max(
    errors, key=lambda where: np.nan_to_num(errors[where], nan=np.inf)
  )
  assert errors[worst] <= tolerance, (worst, errors[worst])
