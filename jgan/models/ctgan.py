"""CTGAN: rows of a table whose columns are numbers and categories.

Xu et al., Modeling Tabular Data using Conditional GAN, 2019
(https://arxiv.org/abs/1907.00503), with the numbers of section 4.4 and of the
authors' published code. Four things fit a GAN to tables:

- Mode-specific normalisation: a number is a mode of a mixture of Gaussians,
  one-hot, and its distance from the mode's mean in four deviations, through
  tanh. (What fits and inverts it reads data, and is not here.)
- What is one-hot is made by Gumbel-softmax at temperature .2, so that samples
  are nearly one-hot and still differentiable.
- A conditional vector names one value of one categorical column. Both networks
  see it; cross-entropy has the generator obey it; reals are drawn to suit it,
  with rare values more often than they occur (training by sampling, the
  `condition` of the batch).
- The critic judges ten rows together (PacGAN), by the Wasserstein loss with a
  penalty of 10 on its slope.

The generator: two residual layers of 256, each a normalisation and relu whose
output is laid beside its input; the critic: two of 256, leaky relu, dropout of
a half. Adam at 2e-4 with b1 = .5, weight decay of 1e-6 in the gradients.

Differences: no bias before a normalisation, nor of the critic's values, where
they have no effect; biases start at 0; reals and fakes of a move have one and
the same conditions, where the authors' code shuffles those of reals, and so has
the generator's move after it, where theirs draws others; the penalty drops the
units that were dropped for the reals, where theirs drops others; samples are
made with running statistics, where theirs are with those of their batch.
What `modes` of a number stand for is the data's business:
experiments/data/mixtures.py also has modes of one exact value, and of a missing
one, without a scalar.

With `privacy` the game is another, in what it must not touch: see `Privacy`.
"""

import dataclasses
import functools
import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple, TypeAlias

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax.core import DenyList
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Int, PRNGKeyArray

from jgan import gradients, losses, penalties, sharding
from jgan.gan import GAN, Batch, LossOutput, Player, Variables
from jgan.layers import BatchNorm, Dropout
from jgan.standard import logit_metrics

_COLLECTIONS = DenyList(('params', 'intermediates'))
# What is folded into a move's key.
_NOISE, _GUMBEL, _CONDITION, _REAL, _FAKE, _PENALTY, _GENERATOR = range(7)
# The authors' layers start uniform on +-1 / sqrt(inputs).
_kernel = nn.initializers.variance_scaling(1 / 3, 'fan_in', 'uniform')


class Number(NamedTuple):
  """A column of numbers: a scalar in [-1, 1], then a mode one-hot.

  Attributes:
    modes: how many there are, 1 or more.
  """

  modes: int


class Category(NamedTuple):
  """A column of categories: one of its values one-hot.

  Attributes:
    frequencies: of its values, positive, of any sum; counts will do.
  """

  frequencies: tuple[float, ...]


Column: TypeAlias = Number | Category


class Privacy(NamedTuple):
  """Differentially private training: what holds, and what it takes.

  Only the critic's move reads rows. Its gradient on each row alone is clipped
  to a norm of `clip`, and noise of deviation `noise * clip` is added to their
  sum (`jgan.gradients.per_example`), so that its params are private, and the
  generator, which learns from the critic alone, is so by post-processing. For
  that the game differs from the paper's:

  - The critic judges single rows (`pack=1`), and has no batch statistics.
  - Its fakes come from the generator's running statistics, for a batch of one
    has none, and those of a whole batch would mix the rows' conditions.
  - The generator's move reads no row and no condition of the batch. It draws
    its conditions from the `frequencies` of the columns.
  - Rows must be drawn uniformly, whatever is in them: training by sampling
    would draw a rare one many times more often than the accountant counts. So
    each row comes with a condition read off itself, of a column drawn without
    looking at it; and `batch['weight']`, 1 or 0 for each example, has batches
    of one size hold as many rows as a Poisson draw gives. The loss is the sum
    over rows by the size of the batch.

  What (epsilon, delta) follows is for an accountant to say who knows how rows
  were drawn. What it does not cover: the description of the columns (their
  values and frequencies, the modes of numbers, the least and the greatest) and
  the number of rows, all taken as public; the metrics of the moves, which are
  of the rows as they are; and whoever knows the key, since its noise is
  pseudo-random.

  Attributes:
    clip: the largest norm of one row's gradient.
    noise: the noise multiplier, above 0.

  References:
    Abadi et al., Deep Learning with Differential Privacy, 2016
    (https://arxiv.org/abs/1607.00133); for GANs Xie et al., Differentially
    Private Generative Adversarial Network, 2018
    (https://arxiv.org/abs/1802.06739).
  """

  clip: float
  noise: float


class Generator(nn.Module):
  """Noise and conditions to the entries of a row, before `activated`.

  Attributes:
    features: entries of a row.
    widths: of the residual layers.
    dtype: of the computation; params and entries are float32.
    axis_name: of pmap or shard_map, for batch statistics of all devices.
  """

  features: int
  widths: tuple[int, ...] = (256, 256)
  dtype: DTypeLike = jnp.float32
  axis_name: str | None = None

  @nn.compact
  def __call__(
    self,
    noise: Float[Array, 'n d'],
    condition: Float[Array, 'n k'],
    *,
    train: bool,
  ) -> Float[Array, 'n features']:
    x = jnp.concatenate([noise, condition], -1).astype(self.dtype)
    for width in self.widths:
      dense = nn.Dense(
        width, use_bias=False, kernel_init=_kernel, dtype=self.dtype
      )
      norm = BatchNorm(0.9, dtype=self.dtype, axis_name=self.axis_name)
      y = nn.relu(norm(dense(x), use_running_average=not train))
      x = jnp.concatenate([y, x], -1)
    x = nn.Dense(self.features, kernel_init=_kernel, dtype=self.dtype)(x)
    return x.astype(jnp.float32)


class Critic(nn.Module):
  """Rows with their conditions, one or a pack of them, to a value.

  Attributes:
    widths: of the hidden layers.
    dropout: share of their outputs that are dropped.
    dtype: of the computation; params and values are float32.
  """

  widths: tuple[int, ...] = (256, 256)
  dropout: float = 0.5
  dtype: DTypeLike = jnp.float32

  @nn.compact
  def __call__(
    self, seen: Float[Array, 'm d'], *, train: bool
  ) -> Float[Array, 'm']:
    x = seen.astype(self.dtype)
    for width in self.widths:
      x = nn.Dense(width, kernel_init=_kernel, dtype=self.dtype)(x)
      x = nn.leaky_relu(x, 0.2)
      x = Dropout(self.dropout)(x, deterministic=not train)
    x = nn.Dense(1, use_bias=False, kernel_init=_kernel, dtype=self.dtype)(x)
    return x[:, 0].astype(jnp.float32)


def row_width(columns: Sequence[Column]) -> int:
  """Entries of a row: of a number 1 and its modes, of a category its values."""
  return sum(
    1 + column.modes if isinstance(column, Number) else len(column.frequencies)
    for column in columns
  )


def activated(
  columns: Sequence[Column],
  entries: Float[Array, 'n d'],
  gumbel: Float[Array, 'n d'],
  temperature: float,
) -> Float[Array, 'n d']:
  """Rows of the generator's entries: tanh of scalars, Gumbel-softmax of else.

  Args:
    columns: what the entries mean, in their order.
    entries: as `Generator` makes them.
    gumbel: standard Gumbel noise; that of scalars is not read.
    temperature: of the softmax; the largest entry does not depend on it.

  References:
    Jang et al., Categorical Reparameterization with Gumbel-Softmax, 2016
    (https://arxiv.org/abs/1611.01144).
  """
  parts, start = [], 0
  for column in columns:
    stop = start + row_width([column])
    if isinstance(column, Number):
      parts.append(jnp.tanh(entries[:, start : start + 1]))
      start += 1
    noisy = entries[:, start:stop] + gumbel[:, start:stop]
    parts.append(nn.softmax(noisy / temperature))
    start = stop
  return jnp.concatenate(parts, -1)


def condition_loss(
  columns: Sequence[Column],
  entries: Float[Array, 'n d'],
  condition: Int[Array, 'n'],
) -> Float[Array, 'n']:
  """The cross-entropy of the column that a condition names with its value.

  Args:
    columns: what the entries mean, in their order.
    entries: of the generator, before `activated`.
    condition: numbers of values, counted through all categorical columns.

  References:
    Xu et al., 2019, section 4.3, the generator loss.
  """
  parts, start = [], 0
  for column in columns:
    stop = start + row_width([column])
    if isinstance(column, Category):
      parts.append(nn.log_softmax(entries[:, start:stop]))
    start = stop
  flat = jnp.concatenate(parts, -1)
  return -jnp.take_along_axis(flat, condition[:, None], -1)[:, 0]


def ctgan(
  columns: Sequence[Column],
  *,
  latent_dim: int = 128,
  generator_widths: tuple[int, ...] = (256, 256),
  critic_widths: tuple[int, ...] = (256, 256),
  dropout: float = 0.5,
  pack: int = 10,
  temperature: float = 0.2,
  penalty_weight: float = 10.0,
  condition_weight: float = 1.0,
  learning_rate: float = 2e-4,
  b1: float = 0.5,
  b2: float = 0.9,
  weight_decay: float = 1e-6,
  n_critic: int = 1,
  ema_decay: float | None = None,
  privacy: Privacy | None = None,
  dtype: DTypeLike = jnp.float32,
  axis_name: str | None = None,
) -> GAN:
  """The conditional tabular GAN of Xu et al.

  The batch: 'row', float32 `[n, row_width(columns)]`, the columns side by side;
  where there are categorical columns 'condition', int32 `[n]`, the number of a
  value that the row has, counted through all of them; with `privacy` perhaps
  'weight', float32 `[n]`. A condition in the batch that asks for samples is
  that of the samples; without one it is drawn, of a column at random, by the
  frequencies of its values. Entries 'latent', `[n, latent_dim]`, and 'gumbel',
  `[n, row_width(columns)]`, replace the draws.

  Args:
    columns: what a row is made of, in order.
    latent_dim: entries of the noise, standard normal.
    generator_widths: of its residual layers.
    critic_widths: of its layers.
    dropout: of the critic's activations.
    pack: rows that the critic judges together; divides the batch.
    temperature: of the Gumbel-softmax.
    penalty_weight: lambda, of `penalties.gradient_penalty` over whole packs.
    condition_weight: of `condition_loss`; the paper's 1.
    learning_rate: Adam's, of both players.
    b1: Adam's decay of the first moment.
    b2: Adam's decay of the second.
    weight_decay: times the params, added to their gradients.
    n_critic: critic moves for one of the generator; the paper's 1.
    ema_decay: of the averaged generator; None keeps none, as the paper.
    privacy: train the critic on clipped and noised gradients.
    dtype: of the computation.
    axis_name: under pmap and shard_map, the axis over the devices.

  Returns:
    A `GAN` of rows; the critic is the player 'discriminator'. In its samples
    what is one-hot in the data sums to 1, and the largest entry is the choice.

  Raises:
    ValueError: there is no column, or one without a mode or a value; a
      frequency, the pack or the temperature is not positive; privacy is asked
      for packs, or without a clip or noise; from `init` and the losses, if the
      batch does not suit.
  """
  columns = tuple(columns)
  _check(columns, pack, temperature, privacy)
  game = _Game(
    columns=columns,
    generator=Generator(
      row_width(columns), tuple(generator_widths), dtype, axis_name
    ),
    critic=Critic(tuple(critic_widths), dropout, dtype),
    latent_dim=latent_dim,
    pack=pack,
    temperature=temperature,
    penalty_weight=penalty_weight,
    condition_weight=condition_weight,
    private=privacy is not None,
  )
  gradient = gradients.whole
  if privacy is not None:
    gradient = gradients.per_example(privacy.clip, privacy.noise, axis_name)
  # In the gradient, as PyTorch's Adam has it, not beside the step.
  adam = optax.chain(
    optax.add_decayed_weights(weight_decay),
    optax.adam(learning_rate, b1, b2),
  )
  critic = Player('discriminator', game.critic_loss, adam, gradient=gradient)
  generator = Player(
    'generator', game.generator_loss, adam, every=n_critic, ema_decay=ema_decay
  )
  return GAN(game.init, (critic, generator), game.sample)


def _check(columns, pack, temperature, privacy) -> None:
  if not columns:
    raise ValueError('ctgan: needs a column or more, got none.')
  for column in columns:
    if isinstance(column, Number) and column.modes < 1:
      raise ValueError(f'ctgan: a number needs a mode, got {column}.')
    if isinstance(column, Category) and not (
      column.frequencies and min(column.frequencies) > 0
    ):
      raise ValueError(
        f'ctgan: a category needs values of positive frequency, got {column}.'
      )
  if pack < 1 or temperature <= 0:
    raise ValueError(
      'ctgan: needs a pack of 1 or more and a positive temperature, got '
      f'{pack=}, {temperature=}.'
    )
  if privacy is None:
    return
  if pack > 1:
    raise ValueError(
      f'ctgan: privacy needs pack=1, got {pack}: in a pack the gradient of one '
      'row depends on others, and clipping would bound nobody.'
    )
  if privacy.noise <= 0:
    raise ValueError(
      f'ctgan: privacy needs a noise above 0, got {privacy.noise}: clipping '
      'alone keeps nothing private.'
    )


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class _Game:
  """The networks, what `ctgan` was told, and the functions that they make."""

  columns: tuple[Column, ...]
  generator: Generator
  critic: Critic
  latent_dim: int
  pack: int
  temperature: float
  penalty_weight: float
  condition_weight: float
  private: bool

  def init(self, key: PRNGKeyArray, batch: Batch) -> dict[str, Variables]:
    keys = [jax.random.fold_in(key, i) for i in range(3)]
    real, condition = self._real(batch), self._given_condition(batch)
    noise = self._drawn(batch, keys[0], 'latent')
    return {
      'generator': self.generator.init(
        keys[1], noise, self._one_hot(condition, batch), train=True
      ),
      'discriminator': self.critic.init(
        keys[2], self._seen(real, condition, batch), train=True
      ),
    }

  def sample(
    self, variables: Mapping[str, Variables], batch: Batch, key: PRNGKeyArray
  ) -> Float[Array, 'n d']:
    condition = batch.get('condition')
    if condition is None:
      condition = self._drawn_condition(batch, key)
    return self._generate(variables, batch, key, condition, train=False)[0]

  def critic_loss(
    self,
    variables: Mapping[str, Variables],
    batch: Batch,
    key: PRNGKeyArray,
    step: Array,
  ) -> LossOutput:
    condition = self._given_condition(batch)
    fake, *_ = self._generate(
      variables, batch, key, condition, train=not self.private
    )
    real, fake = (
      self._seen(rows, condition, batch) for rows in (self._real(batch), fake)
    )
    judge = functools.partial(self._judge, variables, batch)
    real_key, fake_key, penalty_key = (
      jax.random.fold_in(key, i) for i in (_REAL, _FAKE, _PENALTY)
    )
    real_logits, fake_logits = judge(real_key, real), judge(fake_key, fake)
    charged = penalties.gradient_penalty(
      functools.partial(judge, jax.random.clone(real_key)),
      real,
      fake,
      sharding.example_keys(penalty_key, batch)[:: self.pack],
    )
    weight = batch.get('weight', jnp.ones_like(real_logits))
    losses_of_pairs = losses.wasserstein.discriminator(real_logits, fake_logits)
    terms = {
      'adversarial': (weight * losses_of_pairs).mean(),
      'penalty': self.penalty_weight * (weight * charged).mean(),
    }
    said = logit_metrics(real_logits, fake_logits)
    return LossOutput(sum(terms.values()), {}, {**terms, **said})

  def generator_loss(
    self,
    variables: Mapping[str, Variables],
    batch: Batch,
    key: PRNGKeyArray,
    step: Array,
  ) -> LossOutput:
    if self.private:
      condition = self._drawn_condition(batch, key)
    else:
      condition = self._given_condition(batch)
    fake, entries, mutated = self._generate(
      variables, batch, key, condition, train=True
    )
    # Not the units that the critic had dropped when it learned these fakes.
    judge_key = jax.random.fold_in(key, _GENERATOR)
    seen = self._seen(fake, condition, batch)
    logits = self._judge(variables, batch, judge_key, seen)
    terms = {'adversarial': losses.wasserstein.generator(logits, logits).mean()}
    if condition is not None:
      missed = condition_loss(self.columns, entries, condition)
      terms['condition'] = self.condition_weight * missed.mean()
    return LossOutput(sum(terms.values()), mutated, terms)

  @property
  def _frequencies(self) -> list[np.ndarray]:
    """Shares of the values of each categorical column."""
    return [
      np.asarray(column.frequencies) / math.fsum(column.frequencies)
      for column in self.columns
      if isinstance(column, Category)
    ]

  def _real(self, batch):
    width = row_width(self.columns)
    row = batch.get('row')
    if row is None or row.shape[1:] != (width,):
      got = sorted(batch) if row is None else list(row.shape)
      raise ValueError(
        f"ctgan: for these columns the batch needs a 'row' [n, {width}], got "
        f'{got}.'
      )
    return row

  def _given_condition(self, batch):
    """The batch's, or None where no column is categorical."""
    if not self._frequencies:
      return None
    if 'condition' not in batch:
      raise ValueError(
        "ctgan: with categorical columns the batch needs a 'condition' [n], "
        f'got {sorted(batch)}.'
      )
    return batch['condition']

  def _drawn_condition(self, batch, key):
    """A column drawn for each example, and a value by its frequencies."""
    if not self._frequencies:
      return None
    shares = np.concatenate(self._frequencies) / len(self._frequencies)
    logs = jnp.log(jnp.asarray(shares, jnp.float32))
    keys = sharding.example_keys(jax.random.fold_in(key, _CONDITION), batch)
    return jax.vmap(lambda k: jax.random.categorical(k, logs))(keys)

  def _one_hot(self, condition, batch):
    if condition is None:
      return jnp.zeros((sharding.batch_size(batch), 0))
    return jax.nn.one_hot(condition, sum(map(len, self._frequencies)))

  def _drawn(self, batch, key, name):
    """The batch's noise of this name, or noise drawn by the examples' keys."""
    if name in batch:
      return batch[name]
    use, draw, size = {
      'latent': (_NOISE, jax.random.normal, self.latent_dim),
      'gumbel': (_GUMBEL, jax.random.gumbel, row_width(self.columns)),
    }[name]
    keys = sharding.example_keys(jax.random.fold_in(key, use), batch)
    return jax.vmap(lambda k: draw(k, (size,)))(keys)

  def _generate(self, variables, batch, key, condition, train):
    """Rows, the entries before `activated`, and the generator's collections."""
    entries, mutated = self.generator.apply(
      variables['generator'],
      self._drawn(batch, key, 'latent'),
      self._one_hot(condition, batch),
      train=train,
      mutable=_COLLECTIONS,
    )
    gumbel = self._drawn(batch, key, 'gumbel')
    rows = activated(self.columns, entries, gumbel, self.temperature)
    return rows, entries, mutated

  def _seen(self, rows, condition, batch):
    """Rows as the critic sees them: with their conditions, then packed."""
    seen = jnp.concatenate([rows, self._one_hot(condition, batch)], -1)
    if seen.shape[0] % self.pack:
      raise ValueError(
        f'ctgan: a batch of {seen.shape[0]} does not divide into packs of '
        f'{self.pack}.'
      )
    return seen.reshape(seen.shape[0] // self.pack, -1)

  def _judge(self, variables, batch, key, seen):
    return self.critic.apply(
      variables['discriminator'],
      seen,
      train=True,
      rngs={'params': sharding.batch_key(key, batch)},
    )
