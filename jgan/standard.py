"""The standard game: noise to sample, one generator, one discriminator.

The two losses that most image, audio and tabular GANs share, so that a
paper's file holds only its modules, its defaults and what is particular.
"""

import dataclasses
from collections.abc import Callable, Mapping
from numbers import Integral
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax
from flax.core import DenyList
from jax import lax
from jaxtyping import Array, PRNGKeyArray, PyTree

from jgan import gradients, sharding
from jgan.gan import GAN, Batch, LossOutput, Player, Variables
from jgan.latents import Latent
from jgan.losses import AdversarialLoss, check_pair

Outputs = Mapping[str, Array]
"""What a discriminator says: 'logits', and what an auxiliary term reads."""

Penalty = Callable[[Callable[[Array], Array], Array, Array, Array], Array]
"""`(critic, real, fake, keys) -> [n]`."""

Auxiliary = Callable[..., tuple[Array, Array]]
"""`(real_outputs, fake_outputs, latent, batch) -> (generator_term,
discriminator_term)`; with a tracker, its memory is a fifth argument."""

Augment = Callable[..., Array]
"""`(samples, keys) -> samples`; with a tracker, its memory is a third."""


class Tracker(NamedTuple):
  """What a game remembers of its discriminator's logits from step to step.

  Kept as the discriminator's collection 'tracked', hence in the state and in
  checkpoints. LeCam's means and ADA's strength are such memories.

  Attributes:
    start: arrays before the first step, by name.
    update: `(tracked, real_logits, fake_logits) -> tracked` after a main move
      of the discriminator; logits are those of the whole batch, also over
      several devices (of the last of `gradients.microbatches`).
  """

  start: Mapping[str, PyTree]
  update: Callable[[Mapping[str, PyTree], Array, Array], Mapping[str, PyTree]]


# Each use of a move's key folds its own constant.
_LATENT, _STREAMS, _REAL, _FAKE, _PENALTY = range(5)
_AUGMENT = 5  # folded into the key of the real or of the fake call
_GENERATOR = 6  # folded in for its move's calls of the discriminator

_AUGMENT_NEEDS = (
  'augment needs a function of samples [n, ...] and keys [n]: of '
  'transformations of one picture `jgan.augment.chain(...)`; of the pair that '
  '`jgan.ada` makes the first, with the second as tracker=.'
)

_PENALTY_NEEDS = (
  'penalty needs a function of critic, real [n, ...], fake [n, ...] and keys '
  '[n]: `lambda critic, real, fake, keys: jgan.penalties.r1(critic, real)`.'
)

_AUXILIARY_NEEDS = (
  'auxiliary needs a function of real_outputs, fake_outputs, latent and batch, '
  'and of what is tracked where there is a tracker= (and `lecam_term` needs '
  'one).'
)

_COLLECTIONS = DenyList(('params', 'intermediates'))


def logit_metrics(real_logits: Array, fake_logits: Array) -> dict[str, Array]:
  """What is logged of a discriminator: where its logits lie, and how well.

  'real_logits' and 'fake_logits', their means, and 'accuracy', the share of
  pairs in which the real's logit is the larger; it needs no threshold, so it
  reads alike under every loss.
  """
  return {
    'real_logits': real_logits.mean(),
    'fake_logits': fake_logits.mean(),
    'accuracy': (real_logits > fake_logits).mean(),
  }


def standard_gan(
  generator: nn.Module,
  discriminator: nn.Module,
  *,
  loss: AdversarialLoss,
  generator_optimizer: optax.GradientTransformation,
  discriminator_optimizer: optax.GradientTransformation,
  latent: Latent,
  penalty: Penalty | None = None,
  penalty_weight: float | Callable[[Array], Any] = 1.0,
  penalty_every: int = 1,
  augment: Augment | None = None,
  n_critic: int = 1,
  ema_decay: float | Callable[[Array], Any] | None = None,
  auxiliary: Auxiliary | None = None,
  tracker: Tracker | None = None,
  pack: int = 1,
  joint: bool = False,
  axis_name: sharding.AxisName = None,
  data: str = 'image',
) -> GAN:
  """A GAN of two Linen modules and one adversarial loss.

  In each step the discriminator moves, then the generator (in every
  `n_critic`-th step). Both see the same latents; what else is random in the
  discriminator (dropout, augmentation) is drawn anew for each. Fakes take the
  labels of the batch. Metrics of the discriminator: 'adversarial' (the loss's
  term), 'penalty', 'auxiliary', and those of `logit_metrics`.

  Args:
    generator: `generator(latent, label, *, train) -> samples`, where latent is
      `[n, ...]`, and label is `batch['label']` or None.
    discriminator: `discriminator(samples, label, *, train) -> logits`, `[n]`
      or of patches; or a mapping with 'logits' and whatever else `auxiliary`
      reads. Both modules may hold collections ('batch_stats', ...) and draw
      from any rng stream.
    loss: an `AdversarialLoss`, of which the mean is taken in float32.
    generator_optimizer: an optax optimizer.
    discriminator_optimizer: another.
    latent: draws one example's latent from its key, as
      `jgan.latents.normal(128)` does. An entry `batch['latent']` replaces the
      draw, in losses and in sampling.
    penalty: `(critic, real, fake, keys) -> [n]`, added to the discriminator's
      loss by its mean: for instance `lambda critic, real, fake, keys:
      penalties.r1(critic, real)`. Real
      and fake are what the discriminator sees, augmented and packed; keys are
      `[n]`, one for each.
    penalty_weight: of that mean; a function of the step is a schedule.
    penalty_every: above 1, the penalty is a move of its own, labelled
      'penalty', in every so many steps and so many times as heavy (lazy
      regularisation, Karras et al., 2020, who also rescale Adam's learning rate
      and decays: that is the optimizer's to do).
    augment: `(samples, keys) -> samples`, of reals and fakes in both players'
      moves; differentiable; keys are `[n]`.
    n_critic: discriminator moves for one of the generator.
    ema_decay: of the generator's averaged params, as of `Player`.
    auxiliary: `(real_outputs, fake_outputs, latent, batch) ->
      (generator_term, discriminator_term)`, whose means are added. Outputs are
      of packs, latent and batch of single samples.
    tracker: what is remembered of the logits, and given to `augment` and to
      `auxiliary` as one more argument, as it was before the move.
    pack: the discriminator judges so many samples of one kind together, their
      channels concatenated (PacGAN); labels reach it as `[n / pack, pack]`.
    joint: reals and fakes pass the discriminator in one call, which is quicker
      for perceptrons on CPUs. Where it keeps batch statistics they are of both,
      in both players' moves; where not, the generator's move makes two calls,
      of which the compiler drops the reals' if the loss does not read them.
    axis_name: under pmap and shard_map, gather the logits of all devices, so
      that losses that compare examples (`losses.relativistic_average`) see the
      whole batch. `auxiliary` sees its device's part.
    data: the name of the reals in the batch.

  Returns:
    A `GAN` with players 'discriminator' and 'generator'.

  Raises:
    TypeError: the loss is no pair, or `latent` or `augment` no function.
    ValueError: `pack` is no whole number from 1 on; from `init` and the moves,
      where generator and batch differ in shape, the reals are integers, a
      module makes something else than an array, or the batch lacks the data or
      does not divide by `pack`.
  """
  check_pair('standard_gan', loss)
  if not isinstance(pack, Integral) or pack < 1:
    raise ValueError(
      f'standard_gan: pack needs a whole number from 1 on, got {pack!r}.'
    )
  if not callable(latent):
    raise TypeError(
      "standard_gan: latent needs a function of one example's key, such as "
      f'jgan.latents.normal(128), got {latent!r}.'
    )
  if augment is not None and not callable(augment):
    raise TypeError(
      f'standard_gan: {_AUGMENT_NEEDS} Got a {type(augment).__name__}.'
    )
  game = _Game(
    generator=generator,
    discriminator=discriminator,
    loss=loss,
    latent=latent,
    penalty=penalty,
    penalty_weight=penalty_weight,
    penalty_every=penalty_every,
    augment=augment,
    auxiliary=auxiliary,
    tracker=tracker,
    pack=pack,
    joint=joint,
    axis_name=axis_name,
    data=data,
  )
  main = Player(
    'discriminator', game.discriminator_loss, discriminator_optimizer
  )
  lazy = main._replace(
    loss=game.penalty_loss, every=penalty_every, move='penalty'
  )
  last = Player(
    'generator',
    game.generator_loss,
    generator_optimizer,
    every=n_critic,
    ema_decay=ema_decay,
  )
  players = (main, lazy, last) if game.lazy else (main, last)
  return GAN(game.init, players, game.sample)


def _explained(needs: str, function: Callable, *args: Any) -> Any:
  """The function's result; what it needs is added where arguments are wrong."""
  try:
    return function(*args)
  except TypeError as error:
    error.add_note(f'standard_gan: {needs}')
    raise


def _one_array(who: str, what: str, x: Any) -> Array:
  if not hasattr(x, 'dtype'):
    raise ValueError(
      f'standard_gan: {who} needs to make one array of {what}, got a '
      f'{type(x).__name__}; a discriminator returns more as a mapping with '
      "'logits', and a game of several arrays has losses of its own."
    )
  return x


def _interleaved(real: Array, fake: Array) -> Array:
  """Each real before its fake: a divided batch stays where it is."""
  return jnp.stack([real, fake], axis=1).reshape(-1, *real.shape[1:])


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class _Game:
  """The arguments of `standard_gan`, and the functions that they make.

  Compared by identity, as closures would be: a static argument of jit.
  """

  generator: nn.Module
  discriminator: nn.Module
  loss: AdversarialLoss
  latent: Latent
  penalty: Penalty | None
  penalty_weight: float | Callable[[Array], Any]
  penalty_every: int
  augment: Augment | None
  auxiliary: Auxiliary | None
  tracker: Tracker | None
  pack: int
  joint: bool
  axis_name: sharding.AxisName
  data: str

  @property
  def lazy(self) -> bool:
    return self.penalty is not None and self.penalty_every != 1

  def init(self, key: PRNGKeyArray, batch: Batch) -> dict[str, Variables]:
    keys = [jax.random.fold_in(key, i) for i in range(3)]
    label = batch.get('label')
    fake, generator = self.generator.init_with_output(
      keys[0], self._draw(batch, keys[1]), label, train=True
    )
    real = self._real(batch)
    self._check_samples(real, fake)
    tracked = {'tracked': self.tracker.start} if self.tracker else {}
    seen = self._seen(real, batch, keys[1], tracked)
    discriminator = self.discriminator.init(
      keys[2], seen, self._packed_label(batch), train=True
    )
    return {
      'generator': generator,
      'discriminator': {**discriminator, **tracked},
    }

  def sample(
    self, variables: Mapping[str, Variables], batch: Batch, key: PRNGKeyArray
  ) -> Array:
    return self.generator.apply(
      variables['generator'],
      self._draw(batch, key),
      batch.get('label'),
      train=False,
      rngs=self._rngs(key, batch),
    )

  def discriminator_loss(
    self,
    variables: Mapping[str, Variables],
    batch: Batch,
    key: PRNGKeyArray,
    step: Array,
  ) -> LossOutput:
    latent = self._draw(batch, key)
    fake, _ = self._generate(variables, latent, batch, key)
    real, fake, mutated = self._judge(
      variables, fake, batch, key, joint=self.joint
    )
    real_logits, fake_logits = self._logits(real), self._logits(fake)
    losses = self.loss.discriminator(real_logits, fake_logits)
    terms = {'adversarial': losses.mean()}
    if self.penalty and not self.lazy:
      terms['penalty'] = self._penalty(variables, batch, key, step)
    if self.auxiliary:
      _, term = self._auxiliary(variables, real, fake, latent, batch)
      terms['auxiliary'] = term
    if self.tracker:
      before = variables['discriminator']['tracked']
      after = self.tracker.update(before, real_logits, fake_logits)
      mutated = {**mutated, 'tracked': lax.stop_gradient(after)}
    said = logit_metrics(real_logits, fake_logits)
    return LossOutput(sum(terms.values()), mutated, {**terms, **said})

  def generator_loss(
    self,
    variables: Mapping[str, Variables],
    batch: Batch,
    key: PRNGKeyArray,
    step: Array,
  ) -> LossOutput:
    latent = self._draw(batch, key)
    fake, mutated = self._generate(variables, latent, batch, key)
    # Not the dropout masks and augmentations that the discriminator has just
    # learned in its own move: it would know these fakes by them.
    own_key = jax.random.fold_in(key, _GENERATOR)
    joint = self.joint and 'batch_stats' in variables['discriminator']
    real, fake, _ = self._judge(variables, fake, batch, own_key, joint=joint)
    losses = self.loss.generator(self._logits(real), self._logits(fake))
    terms = {'adversarial': losses.mean()}
    if self.auxiliary:
      term, _ = self._auxiliary(variables, real, fake, latent, batch)
      terms['auxiliary'] = term
    return LossOutput(sum(terms.values()), mutated, terms)

  def penalty_loss(
    self,
    variables: Mapping[str, Variables],
    batch: Batch,
    key: PRNGKeyArray,
    step: Array,
  ) -> LossOutput:
    penalty = self._penalty(variables, batch, key, step)
    return LossOutput(self.penalty_every * penalty, {}, {'penalty': penalty})

  def _real(self, batch):
    if self.data not in batch:
      raise ValueError(
        f'standard_gan: the batch needs {self.data!r}, got {sorted(batch)}.'
      )
    return batch[self.data]

  def _check_samples(self, real, fake):
    fake = _one_array('the generator', 'samples', fake)
    if fake.shape != real.shape:
      raise ValueError(
        f'standard_gan: the generator makes {list(fake.shape[1:])}, but '
        f'batch[{self.data!r}] holds examples of {list(real.shape[1:])}.'
      )
    if not gradients.is_floating(real):
      raise ValueError(
        f'standard_gan: the generator makes {fake.dtype}, but '
        f'batch[{self.data!r}] holds {real.dtype}; scale the reals to the '
        "generator's range, pictures by `x / 127.5 - 1`."
      )

  def _draw(self, batch, key):
    if 'latent' in batch:
      return batch['latent']
    return jax.vmap(self.latent)(self._keys(key, _LATENT, batch))

  def _generate(self, variables, latent, batch, key):
    return self.generator.apply(
      variables['generator'],
      latent,
      batch.get('label'),
      train=True,
      mutable=_COLLECTIONS,
      rngs=self._rngs(key, batch),
    )

  def _judge(self, variables, fake, batch, key, *, joint):
    """The discriminator's outputs for reals and fakes, and its collections."""
    real_key, fake_key = (jax.random.fold_in(key, i) for i in (_REAL, _FAKE))
    own = variables['discriminator']
    self._check_samples(self._real(batch), fake)
    real = self._seen(self._real(batch), batch, real_key, own)
    fake = self._seen(fake, batch, fake_key, own)
    label = self._packed_label(batch)
    if joint:
      if label is not None:
        label = jnp.repeat(label, 2, axis=0)
      outputs, mutated = self._discriminate(
        variables, _interleaved(real, fake), label, batch, real_key
      )
      real = jax.tree.map(lambda x: x[::2], outputs)
      fake = jax.tree.map(lambda x: x[1::2], outputs)
    else:
      # From the same collections: one power iteration serves both calls.
      real, one = self._discriminate(variables, real, label, batch, real_key)
      fake, other = self._discriminate(variables, fake, label, batch, fake_key)
      mutated = gradients.merged([one, other])
    return real, fake, mutated

  def _discriminate(self, variables, samples, label, batch, key):
    outputs, mutated = self.discriminator.apply(
      variables['discriminator'],
      samples,
      label,
      train=True,
      mutable=_COLLECTIONS,
      rngs=self._rngs(key, batch),
    )
    if not isinstance(outputs, Mapping):
      outputs = {'logits': outputs}
    if 'logits' not in outputs:
      raise ValueError(
        "standard_gan: the discriminator's mapping needs 'logits', got "
        f'{sorted(outputs)}.'
      )
    logits = _one_array('the discriminator', 'logits', outputs['logits'])
    return {**outputs, 'logits': logits.astype(jnp.float32)}, mutated

  def _penalty(self, variables, batch, key, step):
    fake, _ = self._generate(variables, self._draw(batch, key), batch, key)
    real_key, fake_key = (jax.random.fold_in(key, i) for i in (_REAL, _FAKE))
    label = self._packed_label(batch)

    def critic(samples):
      outputs, _ = self._discriminate(
        variables, samples, label, batch, jax.random.clone(real_key)
      )
      return outputs['logits']

    own = variables['discriminator']
    real = self._seen(self._real(batch), batch, real_key, own)
    fake = self._seen(fake, batch, fake_key, own)
    keys = self._keys(key, _PENALTY, batch)[:: self.pack]
    weight = self.penalty_weight
    weight = weight(step) if callable(weight) else weight
    values = _explained(_PENALTY_NEEDS, self.penalty, critic, real, fake, keys)
    return weight * values.mean()

  def _auxiliary(self, variables, real, fake, latent, batch):
    """The means of the generator's and of the discriminator's term."""
    memory = self._memory(variables['discriminator'])
    terms = _explained(
      _AUXILIARY_NEEDS, self.auxiliary, real, fake, latent, batch, *memory
    )
    return [jnp.mean(term) for term in terms]

  def _memory(self, own):
    """What `augment` and `auxiliary` get beside their other arguments."""
    return (own['tracked'],) if self.tracker else ()

  def _seen(self, samples, batch, key, own):
    """Samples as the discriminator sees them: augmented, then packed."""
    if self.augment:
      keys = self._keys(key, _AUGMENT, batch)
      samples = _explained(
        _AUGMENT_NEEDS, self.augment, samples, keys, *self._memory(own)
      )
    if self.pack == 1:
      return samples
    n, *axes, channels = samples.shape
    if n % self.pack:
      raise ValueError(
        f'standard_gan: a batch of {n} does not divide into packs of '
        f'{self.pack}.'
      )
    samples = samples.reshape(n // self.pack, self.pack, *axes, channels)
    samples = jnp.moveaxis(samples, 1, -2)
    return samples.reshape(n // self.pack, *axes, self.pack * channels)

  def _packed_label(self, batch):
    label = batch.get('label')
    if label is None or self.pack == 1:
      return label
    return label.reshape(-1, self.pack, *label.shape[1:])

  def _logits(self, outputs):
    """The logits of the whole batch."""
    return sharding.gathered(outputs['logits'], self.axis_name)

  def _keys(self, key, use, batch):
    return sharding.example_keys(jax.random.fold_in(key, use), batch)

  def _rngs(self, key, batch):
    """One rng for a module's streams."""
    key = jax.random.fold_in(key, _STREAMS)
    return {'params': sharding.batch_key(key, batch)}
