"""TimeGAN: a game in the embedding of a recurrent autoencoder.

Yoon et al., Time-series Generative Adversarial Networks, 2019
(https://papers.nips.cc/paper/8789-time-series-generative-adversarial-networks),
with the numbers of the authors' code: five networks, each of three layers of
gated recurrent units and a dense layer in every step (the supervisor has a
layer less). The embedder takes a series to an embedding, the recovery takes it
back; the generator makes an embedding of noise; the supervisor tells the next
step of an embedding from those before, and what it makes of the generator's is
what is recovered as a sample; the discriminator judges every step of an
embedding. Adam at 1e-3, batches of 128.

Three phases follow each other: the autoencoder alone, the supervisor alone on
embeddings of reals, then all together, the generator and the autoencoder moving
twice for one move of the discriminator. Here they are predicates of the step in
one game of three players. A player is a container of what one optimizer moves:

  autoencoder     embedder and recovery; its moves are 'embedding' in the first
                  phase and 'autoencoder' in the third
  generator       generator and supervisor; 'supervised' in the second phase
                  and 'generator' in the third
  discriminator   in every second step of the third

In the authors' code the discriminator rests where its loss is below .15. Who
moves in a step is decided here before its losses are known, so it has its turn,
with a gradient of zero, and an optimizer that leaves all as it is, its moments
too, where the gradient is zero. Its params move exactly when the rule says so.

Differences: a step is one batch and its latents, so that an iteration of the
authors' third phase is two steps here (their 50,000 of each phase are 200,000
steps), and the discriminator sees the batch of the generator's second move
where theirs draws a third. Adam's moments go on from phase to phase where they
begin anew: the generator's first hundred moves of the third phase are up to six
times longer for it. Recurrent units are flax's, whose reset gate acts after the
matrix product, with flax's initial values. An optional average of the params to
sample from.
"""

import dataclasses
from collections.abc import Mapping

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax
from jax import lax
from jax.typing import DTypeLike
from jaxtyping import Array, Float, PRNGKeyArray

from jgan import sharding
from jgan.gan import GAN, Batch, LossOutput, Player, Variables
from jgan.layers import recurrent
from jgan.standard import logit_metrics

_EPSILON = 1e-6  # of the variances whose roots are compared


class Recurrent(nn.Module):
  """Layers of gated recurrent units, then a dense layer in each step.

  Attributes:
    features: numbers in a step of the result.
    hidden: units of a layer.
    layers: how many.
    dtype: of the computation; params, states and results are float32.
  """

  features: int
  hidden: int
  layers: int
  dtype: DTypeLike = jnp.float32

  @nn.compact
  def __call__(self, x: Float[Array, '*n t c']) -> Float[Array, '*n t d']:
    # One leading axis: derivatives of products over several are slow on CPUs.
    y = x.reshape(-1, *x.shape[-2:])
    for _ in range(self.layers):
      y = recurrent(nn.GRUCell(self.hidden, dtype=self.dtype), y)
    y = nn.Dense(self.features, dtype=self.dtype)(y).astype(jnp.float32)
    return y.reshape(*x.shape[:-1], self.features)


class Autoencoder(nn.Module):
  """Embedder and recovery: series in [0, 1] to embeddings in [0, 1] and back.

  Attributes:
    features: of a series.
    hidden: units of a layer, and numbers in a step of an embedding.
    layers: of each of the two networks.
    dtype: of the computation; params and results are float32.
  """

  features: int
  hidden: int = 24
  layers: int = 3
  dtype: DTypeLike = jnp.float32

  def setup(self):
    shared = self.hidden, self.layers, self.dtype
    self.embedder = Recurrent(self.hidden, *shared)
    self.recovery = Recurrent(self.features, *shared)

  def __call__(self, series: Float[Array, 'n t d']) -> Float[Array, 'n t d']:
    """The series, embedded and recovered."""
    return self.recover(self.embed(series))

  def embed(self, series: Float[Array, 'n t d']) -> Float[Array, 'n t h']:
    """Embeddings of series."""
    return nn.sigmoid(self.embedder(series))

  def recover(self, embedding: Float[Array, 'n t h']) -> Float[Array, 'n t d']:
    """Series of embeddings."""
    return nn.sigmoid(self.recovery(embedding))


class Generator(nn.Module):
  """Generator and supervisor: noise to embeddings, and a step of them ahead.

  Attributes:
    hidden: units of a layer, and numbers in a step of an embedding.
    layers: of the generator; the supervisor has one less, but one at least.
    dtype: of the computation; params and results are float32.
  """

  hidden: int = 24
  layers: int = 3
  dtype: DTypeLike = jnp.float32

  def setup(self):
    shared = {'hidden': self.hidden, 'dtype': self.dtype}
    self.generator = Recurrent(self.hidden, layers=self.layers, **shared)
    fewer = max(self.layers - 1, 1)
    self.supervisor = Recurrent(self.hidden, layers=fewer, **shared)

  def __call__(self, latent: Float[Array, 'n t z']) -> Float[Array, 'n t h']:
    """Embeddings to recover samples from."""
    return self.supervise(self.generate(latent))

  def generate(self, latent: Float[Array, 'n t z']) -> Float[Array, 'n t h']:
    """Embeddings of noise."""
    return nn.sigmoid(self.generator(latent))

  def supervise(
    self, embedding: Float[Array, '*n t h']
  ) -> Float[Array, '*n t h']:
    """Of each step of embeddings the next, from it and those before."""
    return nn.sigmoid(self.supervisor(embedding))


class Discriminator(nn.Module):
  """Embeddings to a logit for each step.

  Attributes:
    hidden: units of a layer.
    layers: how many.
    dtype: of the computation; params and logits are float32.
  """

  hidden: int = 24
  layers: int = 3
  dtype: DTypeLike = jnp.float32

  @nn.compact
  def __call__(self, embedding: Float[Array, '*n t h']) -> Float[Array, '*n t']:
    logits = Recurrent(1, self.hidden, self.layers, self.dtype)(embedding)
    return logits[..., 0]


def still_at_zero(
  optimizer: optax.GradientTransformation,
) -> optax.GradientTransformation:
  """The optimizer, but a gradient that is zero throughout changes nothing.

  Neither the params, which Adam's first moment would go on moving, nor its
  state. The state has the form of the optimizer's own.
  """

  def update(gradients, state, params=None):
    moves = optax.tree.norm(gradients) > 0
    updates, new = optimizer.update(gradients, state, params)
    updates = jax.tree.map(lambda x: jnp.where(moves, x, 0), updates)
    kept = jax.tree.map(lambda x, old: jnp.where(moves, x, old), new, state)
    return updates, kept

  return optax.GradientTransformation(optimizer.init, update)


def timegan(
  length: int = 24,
  features: int = 6,
  *,
  embedding_steps: int = 50_000,
  supervised_steps: int = 50_000,
  hidden: int = 24,
  layers: int = 3,
  latent_dim: int | None = None,
  gamma: float = 1.0,
  supervised_weight: float = 100.0,
  moments_weight: float = 100.0,
  threshold: float = 0.15,
  generator_moves: int = 2,
  learning_rate: float = 1e-3,
  ema_decay: float | None = None,
  dtype: DTypeLike = jnp.float32,
  axis_name: str | None = None,
) -> GAN:
  """The GAN of Yoon et al. for time series.

  An entry `batch['latent']`, `[n, t, latent_dim]`, replaces the draw, in losses
  and in sampling.

  Args:
    length: steps of a sample whose latents are drawn; in training samples are
      as long as the batch's series. `batch['series']` is `[n, t, features]` in
      [0, 1].
    features: numbers in a step.
    embedding_steps: of the first phase, the autoencoder's.
    supervised_steps: of the second, the supervisor's; all that follow are of
      the third.
    hidden: units of each recurrent layer, and numbers in a step of an
      embedding.
    layers: of each network; the supervisor has one less.
    latent_dim: numbers of noise in a step, uniform in [0, 1); None takes as
      many as there are features.
    gamma: weight of the discriminator's judgement of what the generator makes
      before the supervisor has seen it.
    supervised_weight: in the generator's loss, of the root mean square by which
      the supervisor misses the next step of an embedding.
    moments_weight: in the generator's loss, of the mean absolute differences
      between means, and between deviations, of samples and reals.
    threshold: of its own loss, from which on the discriminator moves.
    generator_moves: of the generator and the autoencoder, for one of the
      discriminator.
    learning_rate: Adam's, of all players.
    ema_decay: of averages of the generator and the autoencoder; None keeps
      none, as the paper.
    dtype: of the computation.
    axis_name: under pmap and shard_map, the axis over the devices.

  Returns:
    A `GAN` with players 'autoencoder', 'generator' and 'discriminator'.

  Raises:
    ValueError: if a number is out of its range; from `init`, if the batch's
      series are of another form.
  """
  latent_dim = features if latent_dim is None else latent_dim
  least = {
    'length': (length, 2),
    'features': (features, 1),
    'latent_dim': (latent_dim, 1),
    'hidden': (hidden, 1),
    'layers': (layers, 1),
    'generator_moves': (generator_moves, 1),
    'embedding_steps': (embedding_steps, 0),
    'supervised_steps': (supervised_steps, 0),
  }
  for name, (number, low) in least.items():
    if number < low:
      raise ValueError(f'timegan: {name} must be {low} or more, got {number}.')
  shared = {'hidden': hidden, 'layers': layers, 'dtype': dtype}
  game = _Game(
    autoencoder=Autoencoder(features, **shared),
    generator=Generator(**shared),
    discriminator=Discriminator(**shared),
    length=length,
    latent_dim=latent_dim,
    gamma=gamma,
    supervised_weight=supervised_weight,
    moments_weight=moments_weight,
    threshold=threshold,
    axis_name=axis_name,
  )
  adam = optax.adam(learning_rate)
  joint = embedding_steps + supervised_steps

  def player(name, loss, every, move=None):
    return Player(name, loss, adam, every, ema_decay=ema_decay, move=move)

  players = []
  if embedding_steps:
    alone = player(
      'autoencoder',
      game.embedding_loss,
      lambda step: step < embedding_steps,
      'embedding',
    )
    players.append(alone)
  if supervised_steps:
    alone = player(
      'generator',
      game.supervised_loss,
      lambda step: (step >= embedding_steps) & (step < joint),
      'supervised',
    )
    players.append(alone)
  players += [
    player('generator', game.generator_loss, lambda step: step >= joint),
    player('autoencoder', game.autoencoder_loss, lambda step: step >= joint),
    Player(
      'discriminator',
      game.discriminator_loss,
      still_at_zero(adam),
      lambda step: (
        (step >= joint) & ((step - joint + 1) % generator_moves == 0)
      ),
    ),
  ]
  return GAN(game.init, tuple(players), game.sample)


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class _Game:
  """The networks, what `timegan` was told, and the functions that they make."""

  autoencoder: Autoencoder
  generator: Generator
  discriminator: Discriminator
  length: int
  latent_dim: int
  gamma: float
  supervised_weight: float
  moments_weight: float
  threshold: float
  axis_name: str | None

  def init(self, key: PRNGKeyArray, batch: Batch) -> dict[str, Variables]:
    keys = [jax.random.fold_in(key, i) for i in range(4)]
    series = self._series(batch)
    latent = self._draw(batch, keys[3], series.shape[1])
    embedding, generator = self.generator.init_with_output(keys[1], latent)
    return {
      'autoencoder': self.autoencoder.init(keys[0], series),
      'generator': generator,
      'discriminator': self.discriminator.init(keys[2], embedding),
    }

  def sample(
    self, variables: Mapping[str, Variables], batch: Batch, key: PRNGKeyArray
  ) -> Float[Array, 'n t d']:
    latent = self._draw(batch, key, self.length)
    made = self.generator.apply(variables['generator'], latent)
    return self._recover(variables, made)

  def embedding_loss(
    self,
    variables: Mapping[str, Variables],
    batch: Batch,
    key: PRNGKeyArray,
    step: Array,
  ) -> LossOutput:
    series = self._series(batch)
    error = self._missed(
      self._recover(variables, self._embed(variables, batch)), series
    )
    return LossOutput(10 * error, {}, {'reconstruction': error})

  def supervised_loss(
    self,
    variables: Mapping[str, Variables],
    batch: Batch,
    key: PRNGKeyArray,
    step: Array,
  ) -> LossOutput:
    real = self._embed(variables, batch)
    error = self._unforeseen(real, self._supervise(variables, real))
    return LossOutput(error**2, {}, {'supervised': error})

  def autoencoder_loss(
    self,
    variables: Mapping[str, Variables],
    batch: Batch,
    key: PRNGKeyArray,
    step: Array,
  ) -> LossOutput:
    real = self._embed(variables, batch)
    terms = {
      'reconstruction': self._missed(
        self._recover(variables, real), self._series(batch)
      ),
      'supervised': self._unforeseen(real, self._supervise(variables, real)),
    }
    loss = 10 * terms['reconstruction'] + 0.1 * terms['supervised'] ** 2
    return LossOutput(loss, {}, terms)

  def generator_loss(
    self,
    variables: Mapping[str, Variables],
    batch: Batch,
    key: PRNGKeyArray,
    step: Array,
  ) -> LossOutput:
    series, real = self._series(batch), self._embed(variables, batch)
    raw = self._generate(variables, batch, key)
    # One pass of the supervisor for both; beside the examples, not among them,
    # so that the axis that is divided over devices stays.
    ahead = self._supervise(variables, jnp.stack([raw, real], 1))
    fake = ahead[:, 0]
    logits = self._judge(variables, fake, raw)
    of_fake, of_raw = self._mean(nn.softplus(-logits), (0, 2))
    terms = {
      'adversarial': of_fake + self.gamma * of_raw,
      'supervised': self._unforeseen(real, ahead[:, 1]),
      'moments': self._moments(self._recover(variables, fake), series),
    }
    loss = (
      terms['adversarial']
      + self.supervised_weight * terms['supervised']
      + self.moments_weight * terms['moments']
    )
    return LossOutput(loss, {}, terms)

  def discriminator_loss(
    self,
    variables: Mapping[str, Variables],
    batch: Batch,
    key: PRNGKeyArray,
    step: Array,
  ) -> LossOutput:
    raw = self._generate(variables, batch, key)
    fake = self._supervise(variables, raw)
    real = self._embed(variables, batch)
    logits = self._judge(variables, real, fake, raw)
    signs = jnp.array([-1.0, 1.0, 1.0])[None, :, None]
    of_real, of_fake, of_raw = self._mean(nn.softplus(signs * logits), (0, 2))
    loss = of_real + of_fake + self.gamma * of_raw
    moves = loss > self.threshold
    said = logit_metrics(logits[:, 0], logits[:, 1])
    said['above_threshold'] = moves.astype(jnp.float32)
    still = lax.stop_gradient(loss)
    return LossOutput(jnp.where(moves, loss, still), {}, said)

  def _series(self, batch):
    series = batch.get('series')
    features = self.autoencoder.features
    if series is None or series.ndim != 3 or series.shape[2] != features:
      got = sorted(batch) if series is None else list(series.shape)
      raise ValueError(
        f"timegan: the batch needs a 'series' [n, t, {features}], got {got}."
      )
    return series

  def _draw(self, batch, key, length):
    if 'latent' in batch:
      return batch['latent']
    shape = length, self.latent_dim
    keys = sharding.example_keys(key, batch)
    return jax.vmap(lambda one: jax.random.uniform(one, shape))(keys)

  def _embed(self, variables, batch):
    return self.autoencoder.apply(
      variables['autoencoder'], self._series(batch), method='embed'
    )

  def _recover(self, variables, embedding):
    return self.autoencoder.apply(
      variables['autoencoder'], embedding, method='recover'
    )

  def _generate(self, variables, batch, key):
    latent = self._draw(batch, key, self._series(batch).shape[1])
    return self.generator.apply(
      variables['generator'], latent, method='generate'
    )

  def _supervise(self, variables, embedding):
    return self.generator.apply(
      variables['generator'], embedding, method='supervise'
    )

  def _judge(self, variables, *embeddings):
    """Logits `[n, kinds of embeddings, t]`."""
    return self.discriminator.apply(
      variables['discriminator'], jnp.stack(embeddings, 1)
    )

  def _missed(self, guess, truth):
    """The root mean square of what a guess misses."""
    # Where nothing is missed a bare root has no derivative.
    return jnp.sqrt(self._mean((guess - truth) ** 2) + 1e-12)

  def _unforeseen(self, real, ahead):
    """What the supervisor misses of each step but the first."""
    return self._missed(ahead[:, :-1], real[:, 1:])

  def _moments(self, fake, real):
    """How far means and deviations of each number of each step differ."""
    means, deviations = [], []
    for x in (fake, real):
      mean = self._mean(x, 0)
      means.append(mean)
      variance = self._mean((x - mean[None]) ** 2, 0)
      deviations.append(jnp.sqrt(variance + _EPSILON))
    differences = [jnp.abs(a - b).mean() for a, b in (means, deviations)]
    return sum(differences)

  def _mean(self, x, axes=None):
    """Over axes with the examples' among them, hence over all devices."""
    # Gathered: with pmean the derivative would be smaller in a shard_map that
    # checks replication.
    return sharding.gathered(x.mean(axes)[None], self.axis_name).mean(0)
