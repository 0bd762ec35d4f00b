"""RGAN and RCGAN: recurrent networks make and judge a series step by step.

Esteban et al., Real-valued (Medical) Time Series Generation with Recurrent
Conditional GANs, 2017 (https://arxiv.org/abs/1706.02633), with the numbers of
the authors' code: one LSTM of 100 units each; the generator reads new noise in
every step (of 5 numbers for sines), the discriminator gives a logit in every
step, and its cross-entropy is averaged over them; the discriminator moves by
plain gradient descent at .1, the generator by Adam at 1e-3; batches of 28.
With labels (RCGAN) both read the label in every step, and the discriminator
learns from three kinds of pairs: reals with their labels, fakes with the labels
they were made for, and reals with a wrong label, which it is to tell from the
first as it does fakes.

Differences: series are in [0, 1] and end in a sigmoid, where the authors' are
in [-1, 1] and end in tanh, the same function of a doubled input up to that
range; cells and dense layers start as flax's do; n_critic is of the
discriminator's moves for one of the generator (5 for the paper's sines, 1 here
by default), not of the generator's (3 for its medical data); labels are one of
several classes, not several bits; reals with wrong labels are an option of the
authors' code, off by default and in the settings that it comes with, and here
always on. An optional average of the generator's params to sample from.
"""

from collections.abc import Mapping

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Int

from jgan import losses
from jgan.gan import GAN
from jgan.layers import one_hot, recurrent
from jgan.standard import standard_gan


class Generator(nn.Module):
  """Noise, and labels where there are classes, to series in [0, 1].

  Attributes:
    features: numbers in a step.
    hidden: units of the LSTM.
    num_classes: of the labels; None ignores labels.
    dtype: of the computation; params and series are float32.
  """

  features: int
  hidden: int = 100
  num_classes: int | None = None
  dtype: DTypeLike = jnp.float32

  @nn.compact
  def __call__(
    self,
    latent: Float[Array, 'n t z'],
    label: Int[Array, 'n'] | None,
    *,
    train: bool,
  ) -> Float[Array, 'n t d']:
    x = _with_label(latent, label, self.num_classes)
    x = recurrent(nn.OptimizedLSTMCell(self.hidden, dtype=self.dtype), x)
    x = nn.Dense(self.features, dtype=self.dtype)(x)
    return nn.sigmoid(x.astype(jnp.float32))


class Discriminator(nn.Module):
  """Series, and labels where there are classes, to 'logits' `[n, t]`.

  With classes, while training, also 'wrong_logits': what it says of the same
  series with a label drawn among the others.

  Attributes:
    hidden: units of the LSTM.
    num_classes: of the labels; None ignores labels.
    dtype: of the computation; params and logits are float32.
  """

  hidden: int = 100
  num_classes: int | None = None
  dtype: DTypeLike = jnp.float32

  @nn.compact
  def __call__(
    self,
    series: Float[Array, 'n t d'],
    label: Int[Array, 'n'] | None,
    *,
    train: bool,
  ) -> Mapping[str, Float[Array, 'n t']]:
    cell = nn.OptimizedLSTMCell(self.hidden, dtype=self.dtype)
    dense = nn.Dense(1, dtype=self.dtype)

    def judge(label):
      x = recurrent(cell, _with_label(series, label, self.num_classes))
      return dense(x).astype(jnp.float32)[..., 0]

    said = {'logits': judge(label)}
    if self.num_classes is not None and train:
      key = self.make_rng('label')
      shift = jax.random.randint(key, label.shape, 1, self.num_classes)
      said['wrong_logits'] = judge((label + shift) % self.num_classes)
    return said


def rcgan(
  length: int = 24,
  features: int = 6,
  *,
  num_classes: int | None = None,
  latent_dim: int = 5,
  generator_hidden: int = 100,
  discriminator_hidden: int = 100,
  generator_learning_rate: float = 1e-3,
  discriminator_learning_rate: float = 0.1,
  n_critic: int = 1,
  ema_decay: float | None = None,
  dtype: DTypeLike = jnp.float32,
  axis_name: str | None = None,
) -> GAN:
  """The recurrent (conditional) GAN of Esteban et al.

  The metric 'auxiliary' of the discriminator is the cross-entropy of reals with
  wrong labels. An entry `batch['latent']`, `[n, length, latent_dim]`, replaces
  the draw, in losses and in sampling; to sample longer series, make it longer.

  Args:
    length: steps of a series; `batch['series']` is `[n, length, features]` in
      [0, 1].
    features: numbers in a step.
    num_classes: condition on `batch['label']`, integers from 0 on below it;
      None plays without labels (RGAN).
    latent_dim: numbers of noise in a step, standard normal.
    generator_hidden: units of the generator's LSTM.
    discriminator_hidden: units of the discriminator's.
    generator_learning_rate: Adam's.
    discriminator_learning_rate: of plain gradient descent.
    n_critic: moves of the discriminator for one of the generator.
    ema_decay: of the averaged generator; None keeps none, as the paper.
    dtype: of the computation.
    axis_name: under pmap and shard_map, the axis over the devices.

  Returns:
    A `GAN` of 'series'.

  Raises:
    ValueError: if there are less than two classes, or a number is below 1; from
      `init`, where labels are needed and the batch has none, or its series are
      of another form.
  """
  if num_classes is not None and num_classes < 2:
    raise ValueError(f'rcgan: needs two classes or more, got {num_classes}.')
  if min(length, features, latent_dim) < 1:
    raise ValueError(
      'rcgan: needs a length, features and a latent_dim of 1 or more, got '
      f'{length}, {features} and {latent_dim}.'
    )

  def latent(key):
    return jax.random.normal(key, (length, latent_dim))

  def wrong_labels(real, fake, latent, batch):
    wrong = jax.nn.softplus(real['wrong_logits'])
    return jnp.zeros_like(wrong), wrong

  return standard_gan(
    Generator(features, generator_hidden, num_classes, dtype),
    Discriminator(discriminator_hidden, num_classes, dtype),
    loss=losses.non_saturating,
    generator_optimizer=optax.adam(generator_learning_rate),
    discriminator_optimizer=optax.sgd(discriminator_learning_rate),
    latent=latent,
    auxiliary=None if num_classes is None else wrong_labels,
    n_critic=n_critic,
    ema_decay=ema_decay,
    axis_name=axis_name,
    data='series',
  )


def _with_label(x, label, num_classes):
  """Each step of `[n, t, c]` with the one-hot label beside it."""
  if num_classes is None:
    return x
  classes = one_hot(label, num_classes)[:, None]
  classes = jnp.broadcast_to(classes, (*x.shape[:2], num_classes))
  return jnp.concatenate([x, classes], -1)
