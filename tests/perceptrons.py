"""A game of three layers, and the FLOPs of its products by hand."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax

import jgan


class Generator(nn.Module):
  @nn.compact
  def __call__(self, latent, label, *, train):
    return nn.Dense(4)(latent)


class Discriminator(nn.Module):
  @nn.compact
  def __call__(self, sample, label, *, train):
    return nn.Dense(1)(nn.relu(nn.Dense(6)(sample)))[:, 0]


def game(**options) -> jgan.GAN:
  return jgan.standard_gan(
    Generator(),
    Discriminator(),
    loss=jgan.losses.non_saturating,
    generator_optimizer=optax.sgd(0.1),
    discriminator_optimizer=optax.sgd(0.1),
    latent=jgan.latents.normal(3),
    data='x',
    **options,
  )


FORM = {
  'x': jax.ShapeDtypeStruct((5, 4), jnp.float32),
  'index': jax.ShapeDtypeStruct((5,), jnp.int32),
}
# Of 5 examples: the generator's forward; the discriminator's, and back to its
# kernels, whose gradients sum over examples. A sum of one term is no product.
GENERATE = 2 * 5 * 4 * 3
JUDGE = 2 * 5 * 6 * 4 + 2 * 5 * 6
TO_PARAMS = 2 * 4 * 6 * 5 + 2 * 6 * 5
TO_INPUT = 2 * 5 * 4 * 6
THROUGH_GENERATOR = 2 * 3 * 4 * 5
DISCRIMINATOR = 2 * JUDGE + 2 * TO_PARAMS
GENERATOR = JUDGE + TO_INPUT + THROUGH_GENERATOR
