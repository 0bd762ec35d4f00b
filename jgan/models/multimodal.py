"""Several modalities in one game: how a GAN is composed of players.

A picture and a sound of one class are made of one latent. Nothing here is from
a paper; it is the example of how to put a game together, and `compose` is a
recipe of five steps for one's own.

1. A side that moves as one is one module. `Generator` is a container: a trunk
   that all modalities share, and a head for each. Whatever is in it has one
   optimizer, one average and one entry in the state.

2. Whoever learns something else is another player. A player is a name, a loss,
   an optimizer; a loss is a pure function `(variables, batch, key, step)` that
   reads all players' networks and is differentiated by its own player's params
   alone, so that nobody's gradient has to be stopped. A `Judge` tells real from
   fake, of one modality or of several together; a `Task` learns from reals
   alone, such as to name the class of a picture.

3. Who shall please them pays for each: the generator's loss is the weighted sum
   of its losses against all judges, and of the tasks' losses on its samples.
   Here single modalities are judged without labels, and only the judge of the
   pair, and the task, know the class: they make both modalities of one class,
   and of the one asked for. With a weight of 0 it is as if one were not there.

4. What is random is drawn by a constant of each use folded into the move's key,
   and what is random about an example by `jgan.example_keys`. All players of a
   step get one key, so all draw the same latents, and the compiler makes the
   fakes once for all of them. The generator judges with other dropout masks
   than those by which the judges have just learned.

5. `GAN(init, players, sample)`: networks are initialised by name, the players
   stand in the order of their moves, and samples may be any tree of arrays.

A player who moves seldom has `every=2`; a penalty once in a while is a second
player of the same name with a `move` of its own (`jgan.standard_gan` has one).
"""

import dataclasses
import functools
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax
from flax.core import DenyList
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Int, PRNGKeyArray

from jgan import gradients, latents, losses, penalties, sharding
from jgan.convolutions import conv2d, strided_conv
from jgan.gan import GAN, Batch, LossOutput, Player, Variables
from jgan.initializers import xavier_uniform
from jgan.latents import Latent
from jgan.layers import one_hot
from jgan.models.dcgan import Discriminator as ImageDiscriminator
from jgan.models.dcgan import Generator as ImageHead
from jgan.models.dcgan import layer_widths
from jgan.models.wavegan import Critic as SoundDiscriminator
from jgan.models.wavegan import Generator as SoundHead
from jgan.models.wavegan import strides

_COLLECTIONS = DenyList(('params', 'intermediates'))
_LATENT, _LEARN, _JUDGE = range(3)  # what is folded into a move's key
_SOUND_TAPS = 25  # of a kernel along time, WaveGAN's


class Judge(NamedTuple):
  """A player who tells real from fake.

  Attributes:
    module: `module(*samples, label, train=...) -> logits`; with a penalty it
      must judge each example by itself.
    sees: the names of the modalities, in the order of its arguments.
    loss: the game between it and the generator.
    optimizer: its own.
    gamma: of R1, half of which times the squared gradient norm at reals, over
      all that it sees, is added to its loss; 0 for none.
    weight: of the generator's loss against it.
  """

  module: nn.Module
  sees: tuple[str, ...]
  loss: losses.AdversarialLoss
  optimizer: optax.GradientTransformation
  gamma: float = 0.0
  weight: float = 1.0


class Task(NamedTuple):
  """A player who learns from reals; the generator is to make it easy.

  Attributes:
    module: `module(*samples, train=...) -> outputs`.
    sees: the names of the modalities, in the order of its arguments.
    loss: `(outputs, batch) -> [n]`.
    optimizer: its own.
    weight: of the same loss on samples, in the generator's.
  """

  module: nn.Module
  sees: tuple[str, ...]
  loss: Callable[[Any, Batch], Float[Array, 'n']]
  optimizer: optax.GradientTransformation
  weight: float = 1.0


class Generator(nn.Module):
  """Latents, and labels where there are classes, to samples by modality.

  Attributes:
    heads: by modality `head(features, label, train=...) -> samples`, as
      generators of one modality are; their label is None, since the features
      hold it.
    width: units of the trunk's two layers.
    num_classes: of the labels; None ignores labels.
    dtype: of the trunk; params are float32.
  """

  heads: Mapping[str, nn.Module]
  width: int = 128
  num_classes: int | None = None
  dtype: DTypeLike = jnp.float32

  @nn.compact
  def __call__(
    self,
    latent: Float[Array, 'n d'],
    label: Int[Array, 'n'] | None,
    *,
    train: bool,
  ) -> dict[str, Array]:
    x = latent.astype(self.dtype)
    if self.num_classes is not None:
      classes = one_hot(label, self.num_classes, self.dtype)
      x = jnp.concatenate([x, classes], -1)
    for _ in range(2):
      x = nn.relu(_dense(self.width, self.dtype)(x))
    return {
      name: head(x, None, train=train) for name, head in self.heads.items()
    }


class PairDiscriminator(nn.Module):
  """A picture and a sound, and a label, to one logit.

  Features of both, side by side, pass a layer in which they meet; its outputs
  give the logit, and their inner product with an embedding of the label is
  added (Miyato and Koyama, 2018).

  Attributes:
    num_classes: of the labels.
    image_width: channels of the picture after the first of its convolutions of
      stride 2; each one after has twice as many.
    sound_width: the same of the sound, whose strides are WaveGAN's.
    features: of each of the two, and of the layer in which they meet.
    dtype: of the computation; params and logits are float32.
  """

  num_classes: int
  image_width: int = 16
  sound_width: int = 8
  features: int = 64
  dtype: DTypeLike = jnp.float32

  @nn.compact
  def __call__(
    self,
    image: Float[Array, 'n h w c'],
    sound: Float[Array, 'n t d'],
    label: Int[Array, 'n'] | None,
    *,
    train: bool,
  ) -> Float[Array, 'n']:
    seen = ImageEncoder(self.image_width, self.features, self.dtype)(image)
    heard = SoundEncoder(self.sound_width, self.features, self.dtype)(sound)
    x = jnp.concatenate([seen, heard], -1)
    x = nn.leaky_relu(_dense(self.features, self.dtype)(x), 0.2)
    classes = one_hot(label, self.num_classes, self.dtype)
    embedding = _dense(self.features, self.dtype, use_bias=False)(classes)
    logits = _dense(1, self.dtype)(x)[:, 0] + (x * embedding).sum(-1)
    return logits.astype(jnp.float32)


class ImageEncoder(nn.Module):
  """Pictures to features, by convolutions of stride 2 down to 4x4.

  Attributes:
    width: channels after the first; each one after has twice as many.
    features: of a picture.
    dtype: of the computation.
  """

  width: int
  features: int
  dtype: DTypeLike = jnp.float32

  @nn.compact
  def __call__(
    self, image: Float[Array, 'n h w c']
  ) -> Float[Array, 'n features']:
    x, width = image.astype(self.dtype), self.width
    while min(x.shape[1:3]) > 4:
      conv = nn.Conv(
        width,
        (4, 4),
        (2, 2),
        kernel_init=xavier_uniform(),
        dtype=self.dtype,
        conv_general_dilated=conv2d,
      )
      x, width = nn.leaky_relu(conv(x), 0.2), 2 * width
    x = x.reshape(x.shape[0], -1)
    return nn.leaky_relu(_dense(self.features, self.dtype)(x), 0.2)


class SoundEncoder(nn.Module):
  """Sounds to features, by convolutions of WaveGAN's strides down to 16 steps.

  Attributes:
    width: channels after the first; each one after has twice as many.
    features: of a sound.
    dtype: of the computation.
  """

  width: int
  features: int
  dtype: DTypeLike = jnp.float32

  @nn.compact
  def __call__(
    self, sound: Float[Array, 'n t c']
  ) -> Float[Array, 'n features']:
    x = sound.astype(self.dtype)
    for i, stride in enumerate(strides(sound.shape[1])):
      shape = (_SOUND_TAPS, x.shape[-1], self.width << i)
      kernel = self.param(f'kernel_{i}', xavier_uniform(), shape)
      bias = self.param(
        f'bias_{i}', nn.initializers.zeros, shape[-1:], jnp.float32
      )
      x = strided_conv(x, kernel.astype(self.dtype), stride)
      x = nn.leaky_relu(x + bias.astype(self.dtype)[None, None], 0.2)
    x = x.reshape(x.shape[0], -1)
    return nn.leaky_relu(_dense(self.features, self.dtype)(x), 0.2)


class ImageClassifier(nn.Module):
  """Pictures to logits of their classes: a task.

  Attributes:
    num_classes: of the labels.
    width: channels of the first convolution of its encoder.
    features: of the encoder.
    dtype: of the computation; params and logits are float32.
  """

  num_classes: int
  width: int = 16
  features: int = 64
  dtype: DTypeLike = jnp.float32

  @nn.compact
  def __call__(
    self, image: Float[Array, 'n h w c'], *, train: bool
  ) -> Float[Array, 'n k']:
    x = ImageEncoder(self.width, self.features, self.dtype)(image)
    return _dense(self.num_classes, self.dtype)(x).astype(jnp.float32)


def multimodal(
  resolution: int = 32,
  length: int = 4096,
  num_classes: int = 10,
  *,
  loss: losses.AdversarialLoss = losses.non_saturating,
  latent_dim: int = 64,
  trunk_width: int = 128,
  image_width: int = 32,
  sound_width: int = 16,
  gamma: float = 1.0,
  pair_weight: float = 1.0,
  task_weight: float = 1.0,
  learning_rate: float = 2e-4,
  b1: float = 0.5,
  ema_decay: float | None = None,
  dtype: DTypeLike = jnp.float32,
  axis_name: str | None = None,
) -> GAN:
  """Grey pictures and sounds of one class, of one latent.

  The heads, and the judges of one modality, are the networks of
  `jgan.models.dcgan` and `jgan.models.wavegan`.

  Args:
    resolution: height and width of the pictures, a power of two from 8 on;
      `batch['image']` is `[n, resolution, resolution, 1]` in [-1, 1].
    length: of the sounds, a power of two from 64 on; `batch['sound']` is
      `[n, length, 1]` in [-1, 1].
    num_classes: of `batch['label']`, integers from 0 on below it.
    loss: the game against each judge.
    latent_dim: entries of a latent, standard normal.
    trunk_width: units of what both modalities share.
    image_width: channels of pictures at half of their resolution; in the judge
      of pairs and in the task half as many.
    sound_width: channels of the longest layers of sound, likewise.
    gamma: of R1 in every judge.
    pair_weight: of the judge of pairs in the generator's loss.
    task_weight: of the task, naming a picture's class, there.
    learning_rate: Adam's, of all players.
    b1: Adam's decay of the first moment.
    ema_decay: of the averaged generator; None keeps none.
    dtype: of the computation.
    axis_name: under pmap and shard_map, the axis over the devices.

  Returns:
    A `GAN` of players 'image_judge', 'sound_judge', 'pair_judge',
    'image_reader' and 'generator', whose samples are a dict of 'image' and
    'sound'.

  Raises:
    ValueError: if resolution or length are out of range; from `init` and the
      losses, as of `compose`.
  """
  layer_widths(resolution, image_width)  # refuse what cannot be built
  strides(length)
  adam = optax.adam(learning_rate, b1=b1)
  judge = functools.partial(Judge, loss=loss, optimizer=adam, gamma=gamma)
  image = ImageDiscriminator(image_width, batch_norm=False, dtype=dtype)
  sound = SoundDiscriminator(sound_width, dtype=dtype)
  halves = max(image_width // 2, 1), max(sound_width // 2, 1)
  pair = PairDiscriminator(num_classes, *halves, dtype=dtype)
  return compose(
    Generator(
      {
        'image': ImageHead(
          resolution, 1, image_width, dtype=dtype, axis_name=axis_name
        ),
        'sound': SoundHead(length, 1, sound_width, dtype=dtype),
      },
      trunk_width,
      num_classes,
      dtype,
    ),
    judges={
      'image_judge': judge(image, ('image',)),
      'sound_judge': judge(sound, ('sound',)),
      'pair_judge': judge(pair, ('image', 'sound'), weight=pair_weight),
    },
    tasks={
      'image_reader': Task(
        ImageClassifier(num_classes, halves[0], dtype=dtype),
        ('image',),
        _classification,
        adam,
        task_weight,
      )
    },
    latent=latents.normal(latent_dim),
    optimizer=adam,
    ema_decay=ema_decay,
    axis_name=axis_name,
  )


def compose(
  generator: nn.Module,
  judges: Mapping[str, Judge],
  tasks: Mapping[str, Task],
  *,
  latent: Latent,
  optimizer: optax.GradientTransformation,
  ema_decay: float | None = None,
  axis_name: str | None = None,
) -> GAN:
  """A game between a generator of several modalities and all who judge it.

  In each step the judges move, then the tasks, then the generator.

  Args:
    generator: `generator(latent, label, train=...) -> ` samples by modality,
      each of the shape of the batch's array of that name. Label is
      `batch['label']` or None.
    judges: by the names of their players.
    tasks: by the names of theirs.
    latent: draws one example's latent from its key; an entry `batch['latent']`
      replaces the draw.
    optimizer: the generator's.
    ema_decay: of the generator's averaged params, as of `Player`.
    axis_name: under pmap and shard_map, gather the logits of all devices, for
      losses that compare examples.

  Returns:
    A `GAN` whose players are those of `judges` and `tasks`, and 'generator'.

  Raises:
    ValueError: from `init`, where the generator and the batch differ in
      modalities or in their shapes, or a player sees what is not made.
  """
  for name, judge in judges.items():
    losses.check_pair(f'compose: {name!r}', judge.loss)
  game = _Game(generator, judges, tasks, latent, axis_name)
  players = [
    Player(name, functools.partial(game.judge_loss, name), judge.optimizer)
    for name, judge in judges.items()
  ]
  players += [
    Player(name, functools.partial(game.task_loss, name), task.optimizer)
    for name, task in tasks.items()
  ]
  last = Player(
    'generator', game.generator_loss, optimizer, ema_decay=ema_decay
  )
  return GAN(game.init, (*players, last), game.sample)


@dataclasses.dataclass(frozen=True, eq=False)
class _Game:
  """The arguments of `compose`, and the functions that they make."""

  generator: nn.Module
  judges: Mapping[str, Judge]
  tasks: Mapping[str, Task]
  latent: Latent
  axis_name: str | None

  def init(self, key: PRNGKeyArray, batch: Batch) -> dict[str, Variables]:
    generator_key, latent_key, *keys = (
      jax.random.fold_in(key, i)
      for i in range(2 + len(self.judges) + len(self.tasks))
    )
    label = batch.get('label')
    fake, generator = self.generator.init_with_output(
      generator_key, self._draw(batch, latent_key), label, train=True
    )
    _check(fake, batch)
    for name, player in {**self.judges, **self.tasks}.items():
      if not set(player.sees) <= set(fake):
        raise ValueError(
          f'compose: {name!r} needs to see a tuple of {sorted(fake)}, which '
          f'the generator makes, got sees={player.sees!r}.'
        )
    # Of fakes, whose shapes are those of reals: _check has seen to it.
    made = {
      name: judge.module.init(keys.pop(), *_of(judge, fake), label, train=True)
      for name, judge in self.judges.items()
    }
    made |= {
      name: task.module.init(keys.pop(), *_of(task, fake), train=True)
      for name, task in self.tasks.items()
    }
    return {'generator': generator, **made}

  def sample(
    self, variables: Mapping[str, Variables], batch: Batch, key: PRNGKeyArray
  ) -> dict[str, Array]:
    return self.generator.apply(
      variables['generator'],
      self._draw(batch, key),
      batch.get('label'),
      train=False,
    )

  def judge_loss(
    self,
    name: str,
    variables: Mapping[str, Variables],
    batch: Batch,
    key: PRNGKeyArray,
    step: Array,
  ) -> LossOutput:
    judge = self.judges[name]
    fake, _ = self._generate(variables, batch, key)
    key = jax.random.fold_in(key, _LEARN)
    real, fake, mutated = self._verdicts(name, variables, fake, batch, key)
    terms = {'adversarial': judge.loss.discriminator(real, fake).mean()}
    if judge.gamma:
      terms['penalty'] = self._penalty(name, variables, batch, key)
    said = {'accuracy': (real > fake).mean()}
    return LossOutput(sum(terms.values()), mutated, {**terms, **said})

  def task_loss(
    self,
    name: str,
    variables: Mapping[str, Variables],
    batch: Batch,
    key: PRNGKeyArray,
    step: Array,
  ) -> LossOutput:
    key = jax.random.fold_in(key, _LEARN)
    return LossOutput(*self._task(name, variables, batch, batch, key))

  def generator_loss(
    self,
    variables: Mapping[str, Variables],
    batch: Batch,
    key: PRNGKeyArray,
    step: Array,
  ) -> LossOutput:
    fake, mutated = self._generate(variables, batch, key)
    key = jax.random.fold_in(key, _JUDGE)
    terms = {}
    for name, judge in self.judges.items():
      *logits, _ = self._verdicts(name, variables, fake, batch, key)
      terms[name] = judge.weight * judge.loss.generator(*logits).mean()
    for name, task in self.tasks.items():
      loss, _ = self._task(name, variables, fake, batch, key)
      terms[name] = task.weight * loss
    return LossOutput(sum(terms.values()), mutated, terms)

  def _draw(self, batch, key):
    if 'latent' in batch:
      return batch['latent']
    keys = sharding.example_keys(jax.random.fold_in(key, _LATENT), batch)
    return jax.vmap(self.latent)(keys)

  def _generate(self, variables, batch, key):
    return self.generator.apply(
      variables['generator'],
      self._draw(batch, key),
      batch.get('label'),
      train=True,
      mutable=_COLLECTIONS,
    )

  def _apply(self, name, module, variables, inputs, batch, key):
    """What a module says, and its collections; `key` for its rng streams."""
    key = jax.random.fold_in(key, [*self.judges, *self.tasks].index(name))
    return module.apply(
      variables[name],
      *inputs,
      train=True,
      mutable=_COLLECTIONS,
      rngs={'params': sharding.batch_key(key, batch)},
    )

  def _verdicts(self, name, variables, fake, batch, key):
    """Logits of reals and of fakes, and the judge's collections."""
    judge, label = self.judges[name], batch.get('label')
    logits, mutated = zip(
      *(
        self._apply(
          name,
          judge.module,
          variables,
          (*_of(judge, samples), label),
          batch,
          jax.random.fold_in(key, i),
        )
        for i, samples in enumerate((batch, fake))
      ),
      strict=True,
    )
    logits = [sharding.gathered(x, self.axis_name) for x in logits]
    return *logits, gradients.merged(mutated)

  def _penalty(self, name, variables, batch, key):
    """Half of gamma times R1, the norm taken over all modalities seen."""
    judge, label = self.judges[name], batch.get('label')
    key = jax.random.fold_in(key, 2)

    def critic(seen):
      inputs = *seen, label
      said, _ = self._apply(name, judge.module, variables, inputs, batch, key)
      return said.sum()

    slopes = jax.grad(critic)(_of(judge, batch))
    norms = sum(penalties.sum_of_squares(slope) for slope in slopes)
    return judge.gamma / 2 * norms.mean()

  def _task(self, name, variables, samples, batch, key):
    """A task's mean loss on samples, and its collections."""
    task = self.tasks[name]
    outputs, mutated = self._apply(
      name, task.module, variables, _of(task, samples), batch, key
    )
    return task.loss(outputs, batch).mean(), mutated


def _of(
  player: Judge | Task, samples: Mapping[str, Array]
) -> tuple[Array, ...]:
  return tuple(samples[name] for name in player.sees)


def _check(fake: Mapping[str, Array], batch: Batch) -> None:
  """ValueError: a modality that is made is not in the batch, or another."""
  for name, made in fake.items():
    if name not in batch or batch[name].shape != made.shape:
      there = list(batch[name].shape[1:]) if name in batch else 'nothing'
      raise ValueError(
        f'compose: the generator makes a {name!r} of {list(made.shape[1:])}, '
        f'and the batch, of {sorted(batch)}, holds there: {there}.'
      )


def _classification(logits: Array, batch: Batch) -> Float[Array, 'n']:
  return optax.losses.softmax_cross_entropy_with_integer_labels(
    logits, batch['label']
  )


def _dense(features, dtype, use_bias=True):
  return nn.Dense(
    features, use_bias=use_bias, kernel_init=xavier_uniform(), dtype=dtype
  )
