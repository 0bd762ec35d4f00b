"""Networks, draws and the game that the GANs of text share.

Texts are rows of tokens, integers below the size of a vocabulary, all of one
length: shorter ones are filled up with a token of the vocabulary that says
that they have ended, and which a generator learns to repeat.
"""

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax
from jax import lax
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Int, Key, PRNGKeyArray

from jgan import sharding
from jgan.gan import GAN, Batch, LossOutput, Player, Variables
from jgan.initializers import normal
from jgan.layers import Dropout, recurrent
from jgan.losses import AdversarialLoss, check_pair
from jgan.standard import logit_metrics

Carry = Any
"""The state of a recurrent cell."""

# Each use of a move's key folds its own constant; games go on from 3.
_TEXT, _REAL, _FAKE = range(3)


class LanguageModel(nn.Module):
  """An LSTM that reads tokens and tells the logits of each from those before.

  Attributes:
    vocabulary: tokens that there are.
    embedding: numbers of an embedded token.
    hidden: units.
    dtype: of the computation; params and logits are float32.
  """

  vocabulary: int
  embedding: int = 32
  hidden: int = 32
  dtype: DTypeLike = jnp.float32

  def setup(self):
    shape = self.vocabulary, self.embedding
    self.table = self.param('table', normal(0.1), shape)
    self.start = self.param('start', normal(0.1), shape[1:])
    self.cell = nn.OptimizedLSTMCell(self.hidden, dtype=self.dtype)
    self.head = nn.Dense(self.vocabulary, dtype=self.dtype)

  @nn.compact
  def __call__(self, tokens: Int[Array, 'n t']) -> Float[Array, 'n t v']:
    """The logits of every token of texts, each from those before it."""
    x = self.embed(tokens[:, :-1])
    start = jnp.broadcast_to(self.start, (len(tokens), 1, self.embedding))
    x = jnp.concatenate([start.astype(x.dtype), x], 1)
    return self.head(recurrent(self.cell, x)).astype(jnp.float32)

  def step(
    self, carry: Carry, x: Float[Array, 'n e']
  ) -> tuple[Carry, Float[Array, 'n v']]:
    """Reads an embedded token; the state after it, and the next's logits."""
    carry, x = self.cell(carry, x)
    return carry, self.head(x).astype(jnp.float32)

  def embed(
    self, tokens: Int[Array, 'n *t'] | Float[Array, 'n *t v']
  ) -> Float[Array, 'n *t e']:
    """Embeds tokens, or one-hot rows, which have a derivative."""
    return embedded(self.table, tokens).astype(self.dtype)

  def begin(self, count: Any) -> tuple[Carry, Float[Array, 'n e']]:
    """The state before `count` texts, and what `step` reads first."""
    x = jnp.broadcast_to(self.start, (count, self.embedding))
    x = x.astype(self.dtype)
    return self.cell.initialize_carry(jax.random.key(0), x.shape), x


class Discriminator(nn.Module):
  """A convolutional network of texts, as SeqGAN's.

  Windows of several widths, of each filter the largest response in the text, a
  highway layer, dropout, a logit.

  Attributes:
    vocabulary: tokens that there are.
    embedding: numbers of an embedded token.
    filters: (width, number of filters) of the windows; those that are wider
      than the text are left out.
    dropout: the share of the features that is dropped while training.
    use_bias: of the logit, which a relativistic loss does not see.
    dtype: of the computation; params and logits are float32.
  """

  vocabulary: int
  embedding: int = 64
  filters: Sequence[tuple[int, int]] = ((2, 64), (3, 64), (4, 64))
  dropout: float = 0.25
  use_bias: bool = True
  dtype: DTypeLike = jnp.float32

  @nn.compact
  def __call__(
    self,
    tokens: Int[Array, 'n t'] | Float[Array, 'n t v'],
    *,
    train: bool,
  ) -> Float[Array, 'n']:
    shape = self.vocabulary, self.embedding
    table = self.param('table', normal(0.1), shape)
    x = embedded(table, tokens).astype(self.dtype)
    features = []
    for width, count in self.filters:
      if width <= x.shape[1]:
        y = nn.Conv(count, (width,), padding='VALID', dtype=self.dtype)(x)
        features.append(nn.relu(y).max(1))
    y = jnp.concatenate(features, -1)
    gate = nn.sigmoid(nn.Dense(y.shape[-1], dtype=self.dtype, name='gate')(y))
    new = nn.relu(nn.Dense(y.shape[-1], dtype=self.dtype, name='new')(y))
    y = gate * new + (1 - gate) * y
    y = Dropout(self.dropout)(y, deterministic=not train)
    last = nn.Dense(1, self.use_bias, dtype=self.dtype, name='logit')
    return last(y)[:, 0].astype(jnp.float32)


def embedded(
  table: Float[Array, 'v e'],
  tokens: Int[Array, 'n *t'] | Float[Array, 'n *t v'],
) -> Float[Array, 'n *t e']:
  """Rows of a table by number, or mixed by weights, as one-hot rows are."""
  if jnp.issubdtype(tokens.dtype, jnp.integer):
    return table[tokens]
  return tokens @ table


def log_likelihood(
  model: LanguageModel, variables: Variables, tokens: Int[Array, 'n t']
) -> Float[Array, 'n t']:
  """Of each token of texts, given those before it, in nats."""
  logits = model.apply(variables, tokens)
  chosen = jnp.take_along_axis(logits, tokens[..., None], -1)[..., 0]
  return chosen - nn.logsumexp(logits, -1)


def completed(
  model: LanguageModel,
  variables: Variables,
  keys: Key[Array, 'n'],
  tokens: Int[Array, 'n t'],
  given: Int[Array, 'n'],
  temperature: Float[Array, 'n'] | float = 1.0,
) -> Int[Array, 'n t']:
  """Texts that begin as others, and go on as a model does.

  Args:
    model: tells the logits.
    variables: of it.
    keys: one for each text.
    tokens: of which each text keeps the first.
    given: how many: 0 for texts of the model alone.
    temperature: by which logits are divided, for all or for each text; below 1
      texts are better and less varied, and of 0 the likeliest token is taken.

  Returns:
    Tokens, int32.
  """
  # At 0 a quotient would be no number; far below this all are as at 0.
  temperature = jnp.maximum(temperature, 1e-6)
  rows = jnp.broadcast_to(temperature, given.shape)[:, None]

  def choose(position, logits):
    drawn = categorical(_keys(keys, position), logits / rows)
    return jnp.where(position < given, tokens[:, position], drawn)

  return _unrolled(model, variables, tokens, choose)


def one_hot_draws(
  model: LanguageModel,
  variables: Variables,
  keys: Key[Array, 'n'],
  like: Int[Array, 'n t'],
  inverse_temperature: Float[Array, ''] | float,
) -> Float[Array, 'n t v']:
  r"""Texts of a model as one-hot rows whose derivative is a softmax's.

  Straight-through Gumbel-softmax: with Gumbel noise g, token t is the one of
  the largest :math:`\ell_t + g_t`, an exact draw; backwards it counts as

  .. math:: \mathrm{softmax}(\beta (\ell_t + g_t))

  and so it does where the model reads it in the next step.

  Args:
    model: tells the logits.
    variables: of it.
    keys: one for each text.
    like: texts of the length wanted.
    inverse_temperature: beta.

  References:
    Jang et al., Categorical Reparameterization with Gumbel-Softmax, 2016
    (https://arxiv.org/abs/1611.01144).
  """

  def choose(position, logits):
    own = _keys(keys, position)
    logits += jax.vmap(lambda key: jax.random.gumbel(key, logits.shape[1:]))(
      own
    )
    soft = nn.softmax(inverse_temperature * logits)
    hard = jax.nn.one_hot(jnp.argmax(logits, -1), logits.shape[-1])
    return soft + lax.stop_gradient(hard - soft)

  return _unrolled(model, variables, like, choose)


def _unrolled(model, variables, like, choose):
  """What `choose(position, logits)` takes, step after step, `[n, t, ...]`."""
  n, length = like.shape
  carry, x = model.apply(variables, n, method='begin')
  # Of as many devices as the texts: a loop in a shard_map wants it from the
  # beginning.
  none = 0 * like[:, :1]
  carry, x = jax.tree.map(lambda a: a + none.astype(a.dtype), (carry, x))

  def step(state, position):
    carry, x = state
    carry, logits = model.apply(variables, carry, x, method='step')
    taken = choose(position, logits)
    x = model.apply(variables, taken, method='embed')
    return (carry, x), taken

  _, taken = lax.scan(step, (carry, x), jnp.arange(length))
  return jnp.swapaxes(taken, 0, 1)


def _keys(keys, position):
  return jax.vmap(jax.random.fold_in, (0, None))(keys, position)


def categorical(
  keys: Key[Array, 'n'], logits: Float[Array, 'n v']
) -> Int[Array, 'n']:
  """Draws a token from each row of logits by one uniform number.

  The distribution of `jax.random.categorical`, which draws as many numbers as
  there are tokens: of 5,000 that was 13 times as slow. The number tells first a
  block of about as many tokens as there are blocks, then the token.
  """
  size = logits.shape[1]
  width = math.isqrt(size - 1) + 1
  weights = jnp.exp(logits - logits.max(1, keepdims=True))
  weights = jnp.pad(weights, ((0, 0), (0, width**2 - size)))
  weights = weights.reshape(-1, width, width)
  blocks = _cumulative(weights.sum(2))
  rest = jax.vmap(jax.random.uniform)(keys) * blocks[:, -1]
  block = jnp.minimum((blocks <= rest[:, None]).sum(1), width - 1)
  row = jnp.take_along_axis(weights, block[:, None, None], 1)[:, 0]
  before = jnp.pad(blocks, ((0, 0), (1, 0)))
  rest -= jnp.take_along_axis(before, block[:, None], 1)[:, 0]
  token = block * width + (_cumulative(row) <= rest[:, None]).sum(1)
  return jnp.minimum(token, size - 1)  # where rounding has led beyond it


def _cumulative(x):
  """Sums along rows; as a product, which on CPUs is the faster."""
  ones = jnp.triu(jnp.ones((x.shape[1], x.shape[1])))
  return jnp.matmul(x, ones, precision='highest')


def sampled(
  model: LanguageModel,
  variables: Variables,
  batch: Batch,
  key: Key[Array, ''],
  length: int,
) -> Int[Array, 'n t']:
  """Texts of a model, one for each example of a batch.

  An entry `batch['temperature']`, float32 `[n]`, divides the logits.
  """
  keys = sharding.example_keys(key, batch)
  none = 0 * sharding.with_index(batch)['index']  # of as many devices
  blank = jnp.broadcast_to(none[:, None], (none.shape[0], length))
  temperature = batch.get('temperature', 1.0)
  return completed(model, variables, keys, blank, none, temperature)


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class TextGame:
  """What the games of text have in common: all but the generator's loss.

  Attributes:
    who: the game's name, for errors.
    generator: makes texts.
    discriminator: judges them.
    length: of texts.
    loss: of both players.
    l2: weight, in the discriminator's loss, of half the squares of its last
      layer.
    axis_name: under pmap and shard_map, the axis over the devices.
  """

  who: str
  generator: LanguageModel
  discriminator: Discriminator
  length: int
  loss: AdversarialLoss
  l2: float = 0.0
  axis_name: str | None = None

  def init(self, key: PRNGKeyArray, batch: Batch) -> dict[str, Variables]:
    tokens = self.real(batch)
    keys = [jax.random.fold_in(key, i) for i in range(2)]
    return {
      'generator': self.generator.init(keys[0], tokens),
      'discriminator': self.discriminator.init(keys[1], tokens, train=False),
    }

  def sample(
    self, variables: Mapping[str, Variables], batch: Batch, key: PRNGKeyArray
  ) -> Int[Array, 'n t']:
    key = jax.random.fold_in(key, _TEXT)
    own = variables['generator']
    return sampled(self.generator, own, batch, key, self.length)

  def likelihood_loss(
    self,
    variables: Mapping[str, Variables],
    batch: Batch,
    key: PRNGKeyArray,
    step: Array,
  ) -> LossOutput:
    own = variables['generator']
    return LossOutput(
      -log_likelihood(self.generator, own, self.real(batch)).mean()
    )

  def discriminator_loss(
    self,
    variables: Mapping[str, Variables],
    batch: Batch,
    key: PRNGKeyArray,
    step: Array,
  ) -> LossOutput:
    fake = self.sample(variables, batch, key)
    real_logits, fake_logits = self.judge(variables, fake, batch, key)
    last = variables['discriminator']['params']['logit']
    terms = {
      'adversarial': self.loss.discriminator(real_logits, fake_logits).mean(),
      'penalty': self.l2 / 2 * sum((x**2).sum() for x in last.values()),
    }
    said = logit_metrics(real_logits, fake_logits)
    return LossOutput(sum(terms.values()), {}, {**terms, **said})

  def judge(
    self,
    variables: Mapping[str, Variables],
    fake: Int[Array, 'n t'] | Float[Array, 'n t v'],
    batch: Batch,
    key: PRNGKeyArray,
  ) -> tuple[Float[Array, 'every'], Float[Array, 'every']]:
    """Logits of the batch's texts and of others, with features dropped.

    Of those of all devices: some losses compare examples.
    """

    def logits(tokens, use):
      key_of_use = sharding.batch_key(jax.random.fold_in(key, use), batch)
      told = self.discriminator.apply(
        variables['discriminator'],
        tokens,
        train=True,
        rngs={'dropout': key_of_use},
      )
      return sharding.gathered(told, self.axis_name)

    return logits(self.real(batch), _REAL), logits(fake, _FAKE)

  def real(self, batch: Batch) -> Int[Array, 'n t']:
    """The texts of a batch. ValueError: none, or of another form."""
    tokens = batch.get('tokens')
    if tokens is None:
      raise ValueError(
        f"{self.who}: the batch needs 'tokens', got {sorted(batch)}."
      )
    whole = jnp.issubdtype(tokens.dtype, jnp.integer)
    if tokens.shape[1:] != (self.length,) or not whole:
      raise ValueError(
        f"{self.who}: batch['tokens'] must be integers [n, {self.length}], got "
        f'{tokens.dtype} {list(tokens.shape)}.'
      )
    return tokens


def text_gan(
  game: Any,
  *,
  likelihood_steps: int,
  discriminator_steps: int,
  n_critic: int,
  likelihood_learning_rate: float,
  generator_learning_rate: float,
  discriminator_learning_rate: float,
  ema_decay: float | Callable[[Array], Any] | None,
) -> GAN:
  """The GAN of a text game: likelihood, then the discriminator, then both.

  Args:
    game: a `TextGame` with a `generator_loss`.
    likelihood_steps: in which the generator learns by likelihood alone, first.
    discriminator_steps: in which the discriminator learns alone, then.
    n_critic: its moves for one of the generator in the game.
    likelihood_learning_rate: Adam's, of the generator in its first phase.
    generator_learning_rate: Adam's, in the game; its moments go on.
    discriminator_learning_rate: Adam's.
    ema_decay: of the averaged generator, or None.

  Raises:
    ValueError: a number is below its least, or no filter fits the length.
  """
  check_pair(game.who, game.loss)
  generator, discriminator = game.generator, game.discriminator
  least = {
    'vocabulary': (generator.vocabulary, 2),
    'length': (game.length, 2),
    'embedding': (generator.embedding, 1),
    'hidden': (generator.hidden, 1),
    'n_critic': (n_critic, 1),
    'likelihood_steps': (likelihood_steps, 0),
    'discriminator_steps': (discriminator_steps, 0),
  }
  for name, (number, low) in least.items():
    if number < low:
      raise ValueError(
        f'{game.who}: {name} must be {low} or more, got {number}.'
      )
  widths = [width for width, _ in discriminator.filters]
  if min(widths) > game.length:
    raise ValueError(
      f'{game.who}: no filter of widths {widths} fits texts of {game.length}.'
    )
  alone = likelihood_steps + discriminator_steps

  def rate(moves):
    rates = likelihood_learning_rate, generator_learning_rate
    return jnp.where(moves < likelihood_steps, *rates)

  last = Player(
    'generator',
    game.generator_loss,
    optax.adam(rate),
    lambda step: (step >= alone) & ((step - alone + 1) % n_critic == 0),
    ema_decay=ema_decay,
  )
  first = last._replace(
    loss=game.likelihood_loss,
    every=lambda step: step < likelihood_steps,
    move='likelihood',
  )
  critic = Player(
    'discriminator',
    game.discriminator_loss,
    optax.adam(discriminator_learning_rate),
    lambda step: step >= likelihood_steps,
  )
  # A move that never comes would be compiled all the same.
  moves = (first, critic, last) if likelihood_steps else (critic, last)
  return GAN(game.init, moves, game.sample)
