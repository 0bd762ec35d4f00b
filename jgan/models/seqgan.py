r"""SeqGAN: a language model that a discriminator rewards token by token.

Yu et al., SeqGAN: Sequence Generative Adversarial Nets with Policy Gradient,
2017 (https://arxiv.org/abs/1609.05473), with the numbers of the authors' code:
an LSTM of 32 units is trained by likelihood, then its convolutional opponent
alone, then both in turn. A text is judged when it is whole: the value Q of its
first t tokens is the mean of what the discriminator makes of `rollouts` texts
that begin with them and that the generator itself completes, and the generator
follows

.. math:: \mathrm{E} \sum_t Q_t \nabla \log p(y_t | y_1 ... y_{t-1})

The phases are predicates of the step. 'likelihood' and 'generator' are moves of
one player and share an optimizer, whose rate may change from one to the other.

Differences: from Q its mean over the batch is taken, which leaves the direction
of the expected gradient and lowers its variance (of a single text nothing would
be left, and Q stays as it is). Texts are completed by the generator as it is,
as the paper's algorithm has it; the authors' code takes an average of it, of
decay .8. The generator's gradient is a mean over texts and unbounded; theirs,
in the game a sum, is cut to a norm of 5 in both phases, and their Adam begins
anew in the game. The embeddings of both start from N(0, .1), where their
discriminator's are uniform in [-1, 1); all else starts as flax's layers do, and
the first token is told from a learned vector. One logit and its logistic
function stand for their two and their softmax, and the sum of the mean losses
on reals and on samples for the mean of all: together these leave `l2` its
weight. A move of the discriminator sees a batch of reals and one of samples,
drawn anew in every step, where theirs sees one batch of both, and each of
10,000 samples three times.
"""

import dataclasses
from collections.abc import Mapping, Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import lax
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Int, PRNGKeyArray

from jgan import losses, sharding
from jgan.gan import GAN, Batch, LossOutput, Variables
from jgan.models.language import (
  Discriminator,
  LanguageModel,
  TextGame,
  completed,
  log_likelihood,
  text_gan,
)

FILTERS = (
  *((1, 100), (2, 200), (3, 200), (4, 200), (5, 200), (6, 100), (7, 100)),
  *((8, 100), (9, 100), (10, 100), (15, 160), (20, 160)),
)
"""Widths and numbers of the discriminator's filters, as published."""

_ROLLOUTS = 3  # folded into a move's key


def oracle(
  vocabulary: int, embedding: int = 32, hidden: int = 32, seed: int = 0
) -> tuple[LanguageModel, Variables]:
  """A language model that knows the truth: its params are standard normal.

  The paper's test of generators of text: they learn from texts of the oracle
  (`language.sampled`), and the oracle tells the likelihood of what they make.

  Args:
    vocabulary: tokens that there are, 5000 in the paper.
    embedding: numbers of an embedded token.
    hidden: units of its LSTM.
    seed: of its params.
  """
  model = LanguageModel(vocabulary, embedding, hidden)
  form = jax.eval_shape(
    model.init, jax.random.key(0), jnp.zeros((1, 2), jnp.int32)
  )
  leaves, structure = jax.tree.flatten(form)
  keys = jax.random.split(jax.random.key(seed), len(leaves))
  drawn = [
    jax.random.normal(key, (leaf.size,)).reshape(leaf.shape)
    for key, leaf in zip(keys, leaves, strict=True)
  ]
  return model, jax.tree.unflatten(structure, drawn)


def seqgan(
  vocabulary: int,
  length: int,
  *,
  likelihood_steps: int = 18_720,
  discriminator_steps: int = 23_400,
  n_critic: int = 15,
  rollouts: int = 16,
  embedding: int = 32,
  hidden: int = 32,
  discriminator_embedding: int = 64,
  filters: Sequence[tuple[int, int]] = FILTERS,
  dropout: float = 0.25,
  l2: float = 0.2,
  likelihood_learning_rate: float = 1e-2,
  generator_learning_rate: float = 1e-2,
  discriminator_learning_rate: float = 1e-4,
  ema_decay: float | None = None,
  dtype: DTypeLike = jnp.float32,
  axis_name: str | None = None,
) -> GAN:
  """The GAN of Yu et al. for text.

  The loss of the move 'generator' is the mean of minus the discriminator's
  probability that its texts are real, 'entropy' that of its texts, estimated
  by them, in nats.

  Args:
    vocabulary: tokens that there are; `batch['tokens']` is `[n, length]`,
      integers below it.
    length: of every text.
    likelihood_steps: in which the generator learns by likelihood alone, first.
      The default is the authors' 120 epochs of 10,000 texts, 64 to a batch.
    discriminator_steps: in which the discriminator learns alone, then: the
      default shows it as many texts as the authors' 50 times 3 epochs.
    n_critic: moves of the discriminator for one of the generator thereafter;
      the authors' code has 4,680 of half as many texts, in 5 times 3 epochs.
    rollouts: that complete the first tokens of a text, for each number of them.
    embedding: numbers of a token in the generator.
    hidden: units of its LSTM.
    discriminator_embedding: numbers of a token in the discriminator.
    filters: widths and numbers of its windows.
    dropout: share of its features that is dropped.
    l2: weight, in its loss, of half the squares of its last layer.
    likelihood_learning_rate: Adam's, of the generator's first phase.
    generator_learning_rate: Adam's, in the game.
    discriminator_learning_rate: Adam's.
    ema_decay: of the averaged generator; None keeps none, as the paper.
    dtype: of the computation.
    axis_name: under pmap and shard_map, the axis over the devices.

  Returns:
    A `GAN` with players 'generator' and 'discriminator', whose samples are
    tokens, int32 `[n, length]`; an entry `batch['temperature']`, `[n]`,
    divides the logits that they are drawn from.

  Raises:
    ValueError: a number is below its least, or no filter fits the length; from
      `init`, if the batch's texts are of another form.
  """
  if rollouts < 1:
    raise ValueError(f'seqgan: rollouts must be 1 or more, got {rollouts}.')
  game = _Game(
    who='seqgan',
    generator=LanguageModel(vocabulary, embedding, hidden, dtype),
    discriminator=Discriminator(
      vocabulary,
      discriminator_embedding,
      tuple(filters),
      dropout,
      dtype=dtype,
    ),
    length=length,
    loss=losses.non_saturating,
    l2=l2,
    rollouts=rollouts,
    axis_name=axis_name,
  )
  return text_gan(
    game,
    likelihood_steps=likelihood_steps,
    discriminator_steps=discriminator_steps,
    n_critic=n_critic,
    likelihood_learning_rate=likelihood_learning_rate,
    generator_learning_rate=generator_learning_rate,
    discriminator_learning_rate=discriminator_learning_rate,
    ema_decay=ema_decay,
  )


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class _Game(TextGame):
  """With the loss of a generator that is rewarded."""

  rollouts: int

  def generator_loss(
    self,
    variables: Mapping[str, Variables],
    batch: Batch,
    key: PRNGKeyArray,
    step: Array,
  ) -> LossOutput:
    tokens = self.sample(variables, batch, key)
    values = lax.stop_gradient(self.values(variables, tokens, batch, key))
    told = log_likelihood(self.generator, variables['generator'], tokens)
    gain = (told * self._advantages(values)).sum(1).mean()
    reward = values[:, -1].mean()
    loss = lax.stop_gradient(gain - reward) - gain  # minus the reward
    return LossOutput(loss, {}, {'entropy': -told.sum(1).mean()})

  def _advantages(self, values):
    """Values less their mean, where there are several to have one."""
    devices = 1 if self.axis_name is None else lax.psum(1, self.axis_name)
    if len(values) * devices == 1:
      return values
    return values - sharding.mean(values.mean(0), self.axis_name)[None]

  def values(
    self,
    variables: Mapping[str, Variables],
    tokens: Int[Array, 'n t'],
    batch: Batch,
    key: PRNGKeyArray,
  ) -> Float[Array, 'n t']:
    """What texts are worth after each token; at the end, their own reward."""
    n, length = tokens.shape
    prefixes, rollouts = length - 1, self.rollouts
    keys = sharding.example_keys(jax.random.fold_in(key, _ROLLOUTS), batch)
    keys = jax.vmap(lambda k: jax.random.split(k, prefixes * rollouts))(keys)
    given = jnp.arange(1, length)[None, :, None]
    given = jnp.broadcast_to(given, (n, prefixes, rollouts))
    whole = completed(
      self.generator,
      variables['generator'],
      keys.reshape(-1),
      tokens.repeat(prefixes * rollouts, 0),
      given.reshape(-1),
    )
    own = variables['discriminator']
    rewards = nn.sigmoid(
      self.discriminator.apply(
        own, jnp.concatenate([whole, tokens]), train=False
      )
    )
    before = rewards[: len(whole)].reshape(n, prefixes, rollouts).mean(2)
    return jnp.concatenate([before, rewards[len(whole) :, None]], 1)
