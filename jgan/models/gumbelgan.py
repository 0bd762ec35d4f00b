"""A GAN of text whose generator learns through one-hot draws.

Kusner and Hernandez-Lobato, GANS for Sequences of Discrete Elements with the
Gumbel-softmax Distribution, 2016 (https://arxiv.org/abs/1611.04051), as it is
played since RelGAN (Nie et al., 2019): a language model is trained by
likelihood, then against a convolutional discriminator by the relativistic loss,
through draws whose slope may get sharper by a schedule.

Differences from RelGAN: draws are exact one-hot rows of which only the
derivative is a softmax's (straight-through), and through which it also runs
back in time, where RelGAN shows the softmax itself to the discriminator and the
largest entry, without a derivative, to the next step; the generator is an LSTM
in place of a relational memory; the discriminator sees one embedding, not 64,
and has no linear layer of 100 units before its logit; gradients are not cut (to
a norm of 5 in RelGAN's code), and Adam's moments go on from the likelihood to
the game, where theirs begin anew.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence

import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Int, PRNGKeyArray

from jgan import losses, sharding
from jgan.gan import GAN, Batch, LossOutput, Variables
from jgan.models.language import (
  Discriminator,
  LanguageModel,
  TextGame,
  one_hot_draws,
  text_gan,
)

FILTERS = ((2, 300), (3, 300), (4, 300), (5, 300))
"""Widths and numbers of the discriminator's filters, RelGAN's."""

_GENERATOR = 3  # folded into the key of its move
_TEXT = 0  # and into that, for its texts


def exponential_sharpening(
  last: float, start: int, steps: int
) -> Callable[[Int[Array, '']], Array]:
  """RelGAN's inverse temperature: from 1 at `start` on, times as much a step.

  Args:
    last: after the steps, and thereafter; 100 and 1000 in the paper.
    start: the step from which on it grows.
    steps: in which it does.
  """

  def inverse_temperature(step):
    share = jnp.clip((step - start) / steps, 0, 1)
    return jnp.asarray(last, jnp.float32) ** share

  return inverse_temperature


def gumbelgan(
  vocabulary: int,
  length: int,
  *,
  likelihood_steps: int = 23_400,
  loss: losses.AdversarialLoss = losses.relativistic,
  inverse_temperature: float | Callable[[Array], Array] = 1.0,
  n_critic: int = 5,
  embedding: int = 32,
  hidden: int = 32,
  discriminator_embedding: int = 64,
  filters: Sequence[tuple[int, int]] = FILTERS,
  dropout: float = 0.25,
  likelihood_learning_rate: float = 1e-2,
  generator_learning_rate: float = 1e-4,
  discriminator_learning_rate: float = 1e-4,
  ema_decay: float | None = None,
  dtype: DTypeLike = jnp.float32,
  axis_name: str | None = None,
) -> GAN:
  """A GAN of text through straight-through Gumbel-softmax.

  Args:
    vocabulary: tokens that there are; `batch['tokens']` is `[n, length]`,
      integers below it.
    length: of every text.
    likelihood_steps: in which the generator learns by likelihood alone, first;
      RelGAN has 150 epochs.
    loss: of both players thereafter; the logits have no bias.
    inverse_temperature: of the softmax whose derivative stands for the draw's,
      or a function of the step, as `exponential_sharpening` makes.
    n_critic: moves of the discriminator for one of the generator.
    embedding: numbers of a token in the generator.
    hidden: units of its LSTM.
    discriminator_embedding: numbers of a token in the discriminator.
    filters: widths and numbers of its windows.
    dropout: share of its features that is dropped.
    likelihood_learning_rate: Adam's, of the generator's first phase.
    generator_learning_rate: Adam's, in the game.
    discriminator_learning_rate: Adam's.
    ema_decay: of the averaged generator; None keeps none, as the paper.
    dtype: of the computation.
    axis_name: under pmap and shard_map, the axis over the devices.

  Returns:
    A `GAN` with players 'generator' and 'discriminator', whose samples are
    tokens, as of `jgan.models.seqgan`.

  Raises:
    ValueError: a number is below its least, or no filter fits the length; from
      `init`, if the batch's texts are of another form.
  """
  game = _Game(
    who='gumbelgan',
    generator=LanguageModel(vocabulary, embedding, hidden, dtype),
    discriminator=Discriminator(
      vocabulary,
      discriminator_embedding,
      tuple(filters),
      dropout,
      use_bias=False,
      dtype=dtype,
    ),
    length=length,
    loss=loss,
    axis_name=axis_name,
    inverse_temperature=inverse_temperature,
  )
  return text_gan(
    game,
    likelihood_steps=likelihood_steps,
    discriminator_steps=0,
    n_critic=n_critic,
    likelihood_learning_rate=likelihood_learning_rate,
    generator_learning_rate=generator_learning_rate,
    discriminator_learning_rate=discriminator_learning_rate,
    ema_decay=ema_decay,
  )


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class _Game(TextGame):
  """With the loss of a generator that the discriminator's slope reaches."""

  inverse_temperature: float | Callable[[Array], Array]

  def generator_loss(
    self,
    variables: Mapping[str, Variables],
    batch: Batch,
    key: PRNGKeyArray,
    step: Array,
  ) -> LossOutput:
    beta = self.inverse_temperature
    beta = beta(step) if callable(beta) else beta
    own_key = jax.random.fold_in(key, _GENERATOR)
    fake = one_hot_draws(
      self.generator,
      variables['generator'],
      # Folded twice: an example's number alone is also that of another use.
      sharding.example_keys(jax.random.fold_in(own_key, _TEXT), batch),
      self.real(batch),
      beta,
    )
    logits = self.judge(variables, fake, batch, own_key)
    return LossOutput(self.loss.generator(*logits).mean())
