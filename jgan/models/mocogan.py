"""MoCoGAN: video from a latent that stays and latents that move.

Tulyakov et al., MoCoGAN: Decomposing Motion and Content for Video Generation,
2018 (https://arxiv.org/abs/1707.04993). A clip has one content latent; a
recurrent network makes of noise, new in each frame, its motion latents; an
image generator, the same in every frame, turns both into the frame. Two
discriminators judge: one single frames, drawn at random from the clip, one the
whole clip by convolutions over time and space; the generator descends the sum
of its losses against both. Content of 50 entries, motion of 10, Adam at 2e-4
with b1 = .5; DCGAN's layers.

So there are three players, 'image_discriminator', 'video_discriminator' and
'generator', and a clip's length is nowhere in the generator: it makes as many
frames as it is given noise.

Differences: the image generator is that of `jgan.models.dcgan`; both
discriminators end in one logit for a frame or a clip, where the authors' code
has patches of frames by default, and of clips as an option; that of clips pads
time and halves it from its second layer on, where theirs, unpadded and of
stride 1 in time, needs 16 frames (13 with patches). None of their layers has a
bias, here the first and the last have. Convolutions start from N(0, .02),
theirs as PyTorch's do. Categories are not drawn but are the data's labels,
known to all three players (to the discriminators by projection, Miyato and
Koyama, 2018), where the paper has the video discriminator guess an action and
the generator make it legible. The stills are of the clips that the video
discriminator sees, where the authors draw others, and there is none of their
weight decay of 1e-5. Clips are as long as those of the batch; to train on parts
of longer ones, cut them in the data. `stills`, `frame_noise` and
`instance_noise` are there for short runs; their defaults are the paper's.
"""

import dataclasses
import functools
from collections.abc import Mapping, Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax
from flax.core import DenyList
from jax import lax
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Int, PRNGKeyArray

from jgan import gradients, initializers, latents, losses, sharding
from jgan.convolutions import conv2d
from jgan.gan import GAN, Batch, LossOutput, Player, Variables
from jgan.layers import BatchNorm, one_hot
from jgan.models.dcgan import Generator as ImageGenerator
from jgan.models.dcgan import layer_widths
from jgan.standard import logit_metrics

_normal = initializers.normal(0.02)
_COLLECTIONS = DenyList(('params', 'intermediates'))

# Each use of a move's key folds its own constant: latents, and all that is
# shown to a discriminator that learns and to those that judge. Of the latter
# each showing, of real or fake stills or clips, folds one more, and each use of
# it another.
_CONTENT, _MOTION, _LEARN, _JUDGE = range(4)
_NOISE, _STILLS = range(2)


def draw_motion(
  key: PRNGKeyArray, frames: int, motion_dim: int, frame_noise: float = 1.0
) -> Float[Array, 't m']:
  """Draws what moves one clip, `[1 + frames, motion_dim]`.

  The recurrent network's state before the first frame, standard normal, then
  the noise of each frame, of deviation `frame_noise`. Each depends on the key
  and its number alone: a longer clip of a key begins as a shorter one does.
  """

  def of_frame(number):
    return jax.random.normal(jax.random.fold_in(key, number), (motion_dim,))

  drawn = jax.vmap(of_frame)(jnp.arange(1 + frames))
  return jnp.concatenate([drawn[:1], frame_noise * drawn[1:]])


class Conv3D(nn.Module):
  """Convolution over time, height and width; padding 'SAME'.

  The variables and numbers of `flax.linen.Conv`, to rounding. Frames that a
  kernel sees at once are laid out as channels, and one convolution over height
  and width does the rest: XLA's own convolutions over three axes are slow on
  CPUs, above all their derivative by the input.

  Attributes:
    features: channels of the result.
    kernel_size: frames, rows and columns.
    strides: of the same.
    use_bias: add a learned bias, started at 0.
    kernel_init: of the kernel `[*kernel_size, in, features]`.
    dtype: of the computation; None takes the input's.
  """

  features: int
  kernel_size: Sequence[int]
  strides: Sequence[int]
  use_bias: bool = True
  kernel_init: initializers.Initializer = nn.initializers.lecun_normal()
  dtype: Any = None

  @nn.compact
  def __call__(self, x: Float[Array, 'n t h w c']) -> Float[Array, 'n u i j d']:
    shape = (*self.kernel_size, x.shape[-1], self.features)
    dtype = self.dtype or x.dtype
    kernel = self.param('kernel', self.kernel_init, shape).astype(dtype)
    n, frames, height, width, channels = x.shape
    (taps, *_), (stride, *strides) = self.kernel_size, self.strides
    ((before, after),) = lax.padtype_to_pads([frames], [taps], [stride], 'SAME')
    x = jnp.pad(x.astype(dtype), [(0, 0), (before, after), *[(0, 0)] * 3])
    last = x.shape[1] - taps  # where the last window begins
    seen = [x[:, i : i + last + 1 : stride] for i in range(taps)]
    x = jnp.stack(seen, axis=-2)
    frames = x.shape[1]
    # [t, h, w, c, d] to [h, w, t c, d]
    kernel = jnp.moveaxis(kernel, 0, 2)
    kernel = kernel.reshape(*kernel.shape[:2], taps * channels, self.features)
    x = x.reshape(n * frames, height, width, taps * channels)
    y = conv2d(x, kernel, strides)
    if self.use_bias:
      bias = self.param(
        'bias', nn.initializers.zeros, (self.features,), jnp.float32
      )
      y += lax.broadcast_in_dim(bias.astype(dtype), y.shape, (3,))
    return y.reshape(n, frames, *y.shape[1:])


_Conv = functools.partial(nn.Conv, conv_general_dilated=conv2d)


class Generator(nn.Module):
  """Latents, and labels where there are classes, to clips in [-1, 1].

  Attributes:
    resolution: height and width as of `jgan.models.dcgan`.
    channels: of a frame.
    width: channels at half of the resolution; each halving doubles them, up
      to 8 times.
    num_classes: of the labels; None ignores labels.
    dtype: of the image generator; the recurrence, params and clips are
      float32.
    axis_name: of pmap or shard_map, for batch statistics of all devices.
  """

  resolution: int | tuple[int, int]
  channels: int
  width: int = 64
  num_classes: int | None = None
  dtype: DTypeLike = jnp.float32
  axis_name: str | None = None

  @nn.compact
  def __call__(
    self,
    content: Float[Array, 'n d'],
    motion: Float[Array, 'n t m'],
    label: Int[Array, 'n'] | None,
    *,
    train: bool,
  ) -> Float[Array, 'n f h w c']:
    """Clips of one frame less than `motion` has entries."""
    start, noise = motion[:, 0], motion[:, 1:]
    n, frames, motion_dim = noise.shape
    cell = nn.GRUCell(motion_dim, name='motion')
    moved = nn.RNN(cell)(noise, initial_carry=start)
    content = jnp.broadcast_to(content[:, None], (n, frames, content.shape[-1]))
    images = ImageGenerator(
      self.resolution,
      self.channels,
      self.width,
      self.num_classes,
      self.dtype,
      self.axis_name,
      name='image',
    )
    x = jnp.concatenate([content, moved], -1).reshape(n * frames, -1)
    x = images(x, _each(label, frames), train=train)
    return x.reshape(n, frames, *x.shape[1:])


class Discriminator(nn.Module):
  """Frames, or clips of one length, and labels if there are any, to logits.

  Clips are convolved over time too, which is halved as height and width are,
  but for the first layer. With labels the inner product of the last features
  with an embedding of the label is added to the logit.

  Attributes:
    width: channels at half of the resolution; each halving doubles them, up
      to 8 times.
    num_classes: of the labels; None ignores labels.
    dtype: of the computation; params and logits are float32.
    axis_name: of pmap or shard_map, for batch statistics of all devices.
  """

  width: int = 64
  num_classes: int | None = None
  dtype: DTypeLike = jnp.float32
  axis_name: str | None = None

  @nn.compact
  def __call__(
    self,
    x: Float[Array, 'n *time h w c'],
    label: Int[Array, 'n'] | None,
    *,
    train: bool,
  ) -> Float[Array, 'n']:
    *time, height, width, _ = x.shape[1:]
    x = x.astype(self.dtype)
    for i, features in enumerate(layer_widths((height, width), self.width)):
      x = self._conv(features, i, bool(time))(x)
      if i > 0:
        norm = BatchNorm(0.9, dtype=self.dtype, axis_name=self.axis_name)
        x = norm(x, use_running_average=not train)
      x = nn.leaky_relu(x, 0.2)
    x = x.reshape(x.shape[0], -1)
    dense = functools.partial(nn.Dense, kernel_init=_normal, dtype=self.dtype)
    logits = dense(1)(x)[:, 0]
    if self.num_classes is not None:
      classes = one_hot(label, self.num_classes, self.dtype)
      embedding = dense(x.shape[-1], use_bias=False)(classes)
      logits += (x * embedding).sum(-1)
    return logits.astype(jnp.float32)

  def _conv(self, features, layer, over_time):
    kind, frames, stride = _Conv, (), ()
    if over_time:
      kind, frames, stride = Conv3D, (4,), (2 if layer else 1,)
    return kind(
      features,
      (*frames, 4, 4),
      (*stride, 2, 2),
      use_bias=layer == 0,
      kernel_init=_normal,
      dtype=self.dtype,
    )


def mocogan(
  resolution: int | tuple[int, int] = 64,
  channels: int = 3,
  *,
  frames: int = 16,
  num_classes: int | None = None,
  loss: losses.AdversarialLoss = losses.non_saturating,
  content_dim: int = 50,
  motion_dim: int = 10,
  generator_width: int = 64,
  image_width: int = 64,
  video_width: int = 64,
  frame_noise: float = 1.0,
  stills: int = 1,
  instance_noise: float = 0.0,
  learning_rate: float = 2e-4,
  discriminator_learning_rate: float | None = None,
  b1: float = 0.5,
  ema_decay: float | None = None,
  dtype: DTypeLike = jnp.float32,
  axis_name: str | None = None,
) -> GAN:
  """The motion and content GAN of Tulyakov et al.

  Entries `batch['content']`, `[n, content_dim]`, and `batch['motion']`,
  `[n, 1 + frames, motion_dim]` as `draw_motion` makes it, replace the draws, in
  losses and in sampling: one content with other motions, one motion with other
  contents, clips of any length.

  Args:
    resolution: height and width of a frame, as of `jgan.models.dcgan`;
      `batch['video']` is `[n, t, height, width, channels]` in [-1, 1].
    channels: of a frame.
    frames: of a sample whose motion is drawn; as many as one likes, since
      training makes clips as long as the batch's.
    num_classes: condition on `batch['label']`, integers from 0 on below it;
      None plays without labels.
    loss: the game against each discriminator; the paper's is
      `losses.non_saturating`.
    content_dim: entries of the latent that stays.
    motion_dim: entries of the noise of a frame, and of the recurrent state.
    generator_width: channels of a frame at half of the resolution.
    image_width: the same in the image discriminator.
    video_width: the same in the video discriminator.
    frame_noise: deviation of the noise that each frame brings to the motion.
      The paper's is 1; the less, the more of a motion is decided in its first
      frame.
    stills: frames of a clip, drawn without replacement, that the image
      discriminator sees.
    instance_noise: deviation of the noise added to all that the discriminators
      see, drawn anew each time; the authors' code adds some before each of
      their layers.
    learning_rate: Adam's.
    discriminator_learning_rate: of both discriminators; None takes the same.
    b1: Adam's decay of the first moment.
    ema_decay: of the averaged generator; None keeps none, as the paper.
    dtype: of the computation.
    axis_name: under pmap and shard_map, the axis over the devices.

  Returns:
    A `GAN` with players 'image_discriminator', 'video_discriminator' and
    'generator'.

  Raises:
    ValueError: if the resolution is none of DCGAN's, or a number is below 1;
      from `init` and the losses, if the batch's clips are of another form.
  """
  layer_widths(resolution, generator_width)  # refuses what cannot be
  losses.check_pair('mocogan', loss)
  numbers = {
    'frames': frames,
    'content_dim': content_dim,
    'motion_dim': motion_dim,
    'stills': stills,
  }
  if wrong := {name: x for name, x in numbers.items() if x < 1}:
    raise ValueError(f'mocogan: needs numbers of 1 or more, got {wrong}.')
  shared = {'num_classes': num_classes, 'dtype': dtype, 'axis_name': axis_name}
  game = _Game(
    generator=Generator(resolution, channels, generator_width, **shared),
    image_discriminator=Discriminator(image_width, **shared),
    video_discriminator=Discriminator(video_width, **shared),
    loss=loss,
    frame_noise=frame_noise,
    instance_noise=instance_noise,
    axis_name=axis_name,
    **numbers,
  )
  if discriminator_learning_rate is None:
    discriminator_learning_rate = learning_rate
  adam = optax.adam(discriminator_learning_rate, b1=b1)
  players = (
    Player('image_discriminator', game.image_loss, adam),
    Player('video_discriminator', game.video_loss, adam),
    Player(
      'generator',
      game.generator_loss,
      optax.adam(learning_rate, b1=b1),
      ema_decay=ema_decay,
    ),
  )
  return GAN(game.init, players, game.sample)


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class _Game:
  """The networks, what `mocogan` was told, and the functions that they make."""

  generator: nn.Module
  image_discriminator: nn.Module
  video_discriminator: nn.Module
  loss: losses.AdversarialLoss
  frames: int
  content_dim: int
  motion_dim: int
  stills: int
  frame_noise: float
  instance_noise: float
  axis_name: str | None

  def init(self, key: PRNGKeyArray, batch: Batch) -> dict[str, Variables]:
    keys = [jax.random.fold_in(key, i) for i in range(5)]
    real, label = self._real(batch), batch.get('label')
    drawn = self._draw(batch, keys[3], real.shape[1])
    fake, generator = self.generator.init_with_output(
      keys[0], *drawn, label, train=True
    )
    if fake.shape != real.shape:
      raise ValueError(
        f'mocogan: the generator makes clips of {list(fake.shape[1:])}, but '
        f"batch['video'] holds clips of {list(real.shape[1:])}."
      )
    stills = self._stills(real, batch, keys[4])
    return {
      'generator': generator,
      'image_discriminator': self.image_discriminator.init(
        keys[1], stills, _each(label, self.stills), train=True
      ),
      'video_discriminator': self.video_discriminator.init(
        keys[2], real, label, train=True
      ),
    }

  def sample(
    self, variables: Mapping[str, Variables], batch: Batch, key: PRNGKeyArray
  ) -> Float[Array, 'n t h w c']:
    return self.generator.apply(
      variables['generator'],
      *self._draw(batch, key, self.frames),
      batch.get('label'),
      train=False,
    )

  def image_loss(
    self,
    variables: Mapping[str, Variables],
    batch: Batch,
    key: PRNGKeyArray,
    step: Array,
  ) -> LossOutput:
    fake, _ = self._generate(variables, batch, key)
    key = jax.random.fold_in(key, _LEARN)
    return self._discriminate(self._judge_stills(variables, fake, batch, key))

  def video_loss(
    self,
    variables: Mapping[str, Variables],
    batch: Batch,
    key: PRNGKeyArray,
    step: Array,
  ) -> LossOutput:
    fake, _ = self._generate(variables, batch, key)
    key = jax.random.fold_in(key, _LEARN)
    return self._discriminate(self._judge_clips(variables, fake, batch, key))

  def generator_loss(
    self,
    variables: Mapping[str, Variables],
    batch: Batch,
    key: PRNGKeyArray,
    step: Array,
  ) -> LossOutput:
    fake, mutated = self._generate(variables, batch, key)
    # Not the frames and the noise that the discriminators have just learned.
    key = jax.random.fold_in(key, _JUDGE)
    *stills, _ = self._judge_stills(variables, fake, batch, key)
    *clips, _ = self._judge_clips(variables, fake, batch, key)
    terms = {
      'image': self.loss.generator(*stills).mean(),
      'video': self.loss.generator(*clips).mean(),
    }
    return LossOutput(sum(terms.values()), mutated, terms)

  def _real(self, batch):
    video = batch.get('video')
    if video is None or video.ndim != 5:
      got = sorted(batch) if video is None else list(video.shape)
      raise ValueError(
        "mocogan: the batch needs a 'video' [n, frames, height, width, "
        f'channels], got {got}.'
      )
    if video.shape[1] < self.stills:
      raise ValueError(
        f'mocogan: stills={self.stills} need clips of as many frames, got '
        f'{video.shape[1]}.'
      )
    return video

  def _draw(self, batch, key, frames):
    def drawn(name, use, draw):
      if name in batch:
        return batch[name]
      key_of_use = jax.random.fold_in(key, use)
      return jax.vmap(draw)(sharding.example_keys(key_of_use, batch))

    content = latents.normal(self.content_dim)
    motion = functools.partial(
      draw_motion,
      frames=frames,
      motion_dim=self.motion_dim,
      frame_noise=self.frame_noise,
    )
    return drawn('content', _CONTENT, content), drawn('motion', _MOTION, motion)

  def _generate(self, variables, batch, key):
    frames = self._real(batch).shape[1]
    return self.generator.apply(
      variables['generator'],
      *self._draw(batch, key, frames),
      batch.get('label'),
      train=True,
      mutable=_COLLECTIONS,
    )

  def _stills(self, video, batch, key):
    """Frames of each clip, drawn by its key, `[n stills, h, w, c]`."""

    def drawn(one, clip):
      return clip[jax.random.permutation(one, len(clip))[: self.stills]]

    keys = sharding.example_keys(jax.random.fold_in(key, _STILLS), batch)
    frames = jax.vmap(drawn)(keys, video)
    return frames.reshape(-1, *video.shape[2:])

  def _noisy(self, clips, batch, key):
    if not self.instance_noise:
      return clips

    def drawn(one):
      return jax.random.normal(one, clips.shape[1:])

    keys = sharding.example_keys(jax.random.fold_in(key, _NOISE), batch)
    return clips + self.instance_noise * jax.vmap(drawn)(keys)

  def _judge_stills(self, variables, fake, batch, key):
    """Logits of reals and of fakes, and the discriminator's collections."""
    keys = [jax.random.fold_in(key, i) for i in range(2)]
    real, fake = (
      self._stills(self._noisy(x, batch, one), batch, one)
      for x, one in zip((self._real(batch), fake), keys, strict=True)
    )
    return self._judge(
      self.image_discriminator,
      variables['image_discriminator'],
      real,
      fake,
      _each(batch.get('label'), self.stills),
    )

  def _judge_clips(self, variables, fake, batch, key):
    keys = [jax.random.fold_in(key, i) for i in range(2, 4)]
    real, fake = (
      self._noisy(x, batch, one)
      for x, one in zip((self._real(batch), fake), keys, strict=True)
    )
    return self._judge(
      self.video_discriminator,
      variables['video_discriminator'],
      real,
      fake,
      batch.get('label'),
    )

  def _judge(self, module, variables, real, fake, label):
    logits, mutated = zip(
      *(
        module.apply(variables, x, label, train=True, mutable=_COLLECTIONS)
        for x in (real, fake)
      ),
      strict=True,
    )
    # Losses that compare examples see the whole batch.
    logits = [sharding.gathered(x, self.axis_name) for x in logits]
    return *logits, gradients.merged(mutated)

  def _discriminate(self, judged):
    real, fake, mutated = judged
    loss = self.loss.discriminator(real, fake).mean()
    return LossOutput(loss, mutated, logit_metrics(real, fake))


def _each(label: Int[Array, 'n'] | None, times: int) -> Array | None:
  """A clip's label for each of its frames."""
  return None if label is None else jnp.repeat(label, times)
