"""WaveGAN: sound as it is, sample by sample, by convolutions along time.

Donahue et al., Adversarial Audio Synthesis, 2019
(https://arxiv.org/abs/1802.04208), tables 3 and 4: the generator's dense layer
makes 16 steps of 1024 channels, and transposed convolutions of 25 taps and
stride 4 make four times as many steps of half the channels, the last a second
of sound at 16 kHz; ReLU, tanh, no normalisation. The critic is its mirror
image, with leaky ReLU and phase shuffle between its layers; WGAN-GP with a
penalty of 10, five moves of the critic for one of the generator, Adam at 1e-4
with b1 = .5 and b2 = .9, batches of 64.

Phase shuffle moves a layer's output by up to two steps at random, so that the
critic cannot tell fakes by the phase at which transposed convolutions leave
their artefacts. Here each example is moved by its own number of steps; in the
authors' code all of a batch by one. The paper asks only for shifts at random,
and with one for all reals and another for all fakes the difference of their
values, which is the loss, jitters with the shifts; shifts of each example
average out over the batch.

Other differences: an optional average of the generator's params to sample from;
no bias of the critic's values, which the loss cancels; the penalty is taken at
the shifts that the reals have met, where theirs draws others; no learned filter
after the generator, which the authors' code leaves out by default as well;
where a length needs a layer of stride 2, as 32768 does, it is the critic's
first, the mirror of the generator's last, where the authors' critic has it
last. Labels, which the paper has not: the generator's dense layer sees the
one-hot label beside the latent, so that each class has 16 learned steps of its
own; the critic adds to its value the inner product of its last features, still
ordered in time, with an embedding of the label (projection, Miyato and Koyama,
2018).
"""

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Int

from jgan import latents, losses, penalties
from jgan.convolutions import strided_conv
from jgan.gan import GAN
from jgan.initializers import xavier_uniform
from jgan.layers import ConvTranspose, one_hot
from jgan.standard import standard_gan

_FIRST = 16  # steps that the dense layer makes, and that the critic ends in
_KERNEL = 25  # taps


class Generator(nn.Module):
  """Latents, and labels where there are classes, to sound in [-1, 1].

  Attributes:
    length: steps of the sound, a power of two of at least 64; see `strides`.
    channels: of the sound: 1 for mono.
    width: channels of the last hidden layer; each one before has twice as many.
    num_classes: of the labels; None ignores labels.
    dtype: of the computation; params and sound are float32.
  """

  length: int
  channels: int = 1
  width: int = 64
  num_classes: int | None = None
  dtype: DTypeLike = jnp.float32

  @nn.compact
  def __call__(
    self,
    latent: Float[Array, 'n d'],
    label: Int[Array, 'n'] | None,
    *,
    train: bool,
  ) -> Float[Array, 'n t c']:
    *inner, last = reversed(strides(self.length))
    x = latent.astype(self.dtype)
    if self.num_classes is not None:
      classes = one_hot(label, self.num_classes, self.dtype)
      x = jnp.concatenate([x, classes], -1)
    features = self.width << len(inner)
    x = _dense(_FIRST * features, self.dtype)(x)
    x = nn.relu(x).reshape(-1, _FIRST, features)
    for stride in inner:
      features //= 2
      x = nn.relu(self._grow(features, stride)(x))
    x = self._grow(self.channels, last)(x)
    return jnp.tanh(x.astype(jnp.float32))

  def _grow(self, features, stride):
    return ConvTranspose(
      features,
      (_KERNEL,),
      (stride,),
      kernel_init=xavier_uniform(),
      dtype=self.dtype,
    )


class Critic(nn.Module):
  """Sound, and labels where there are classes, to values.

  Each example is judged by itself, as the penalty needs. While training it
  draws the shifts of phase shuffle from an rng stream.

  Attributes:
    width: channels after the first layer; each other has twice as many.
    num_classes: of the labels; None ignores labels.
    shuffle: the most steps by which phase shuffle moves the output of a layer,
      but for the last; 0 leaves all in place.
    dtype: of the computation; params and values are float32.
  """

  width: int = 64
  num_classes: int | None = None
  shuffle: int = 2
  dtype: DTypeLike = jnp.float32

  @nn.compact
  def __call__(
    self,
    sound: Float[Array, 'n t c'],
    label: Int[Array, 'n'] | None,
    *,
    train: bool,
  ) -> Float[Array, 'n']:
    x = sound.astype(self.dtype)
    for i, stride in enumerate(strides(sound.shape[1])):
      if i > 0 and train and self.shuffle:
        x = phase_shuffle(x, self._shifts(x.shape[0]), self.shuffle)
      x = nn.leaky_relu(_Shrink(self.width << i, stride, self.dtype)(x), 0.2)
    x = x.reshape(x.shape[0], -1)
    values = _dense(1, self.dtype, use_bias=False)(x)[:, 0]
    if self.num_classes is not None:
      classes = one_hot(label, self.num_classes, self.dtype)
      embedding = _dense(x.shape[-1], self.dtype, use_bias=False)(classes)
      values += (x * embedding).sum(-1)
    return values.astype(jnp.float32)

  def _shifts(self, count):
    key = self.make_rng('shuffle')
    return jax.random.randint(key, (count,), -self.shuffle, self.shuffle + 1)


class _Shrink(nn.Module):
  """A convolution whose stride divides the steps; padding 'SAME'.

  The variables and numbers of `flax.linen.Conv(features, (25,), (stride,))`,
  to rounding; see `jgan.convolutions` for what differs.
  """

  features: int
  stride: int
  dtype: DTypeLike = jnp.float32

  @nn.compact
  def __call__(self, x):
    shape = (_KERNEL, x.shape[-1], self.features)
    kernel = self.param('kernel', xavier_uniform(), shape).astype(self.dtype)
    bias = self.param(
      'bias', nn.initializers.zeros, (self.features,), jnp.float32
    )
    y = strided_conv(x.astype(self.dtype), kernel, self.stride)
    return y + bias.astype(self.dtype)[None, None]


def phase_shuffle(
  x: Float[Array, 'n t c'], shift: Int[Array, 'n'], most: int
) -> Float[Array, 'n t c']:
  """Moves each example along time; what moves in mirrors what lies beside it.

  `y[i, t] = x[i, t - shift[i]]`, and beyond either end x goes on reflected
  about its first or last step: 0 1 2 3 moved by 2 is 2 1 0 1.

  Args:
    x: the output of a layer.
    shift: steps by which each example is moved, later where positive.
    most: of the shifts' absolute values, at least 1; a shift beyond it is
      taken as it.

  Returns:
    An array of the shape of `x`.

  Raises:
    ValueError: if x has no more steps than `most`, too few to mirror.

  References:
    Donahue et al., Adversarial Audio Synthesis, 2019, section 3.3 and figure 3
    (https://arxiv.org/abs/1802.04208).
  """
  steps = x.shape[1]
  if steps <= most:
    raise ValueError(
      f'phase_shuffle: shifts of up to {most} steps need more steps than that '
      f'to mirror, got {steps}.'
    )
  padded = jnp.pad(x, ((0, 0), (most, most), (0, 0)), mode='reflect')
  # Chosen among all that can be, not gathered: the derivative of a gather is
  # a scatter, which is slow.
  y = padded[:, 2 * most :]
  for by in range(1 - most, most + 1):
    start = most - by
    moved = padded[:, start : start + steps]
    y = jnp.where(shift[:, None, None] >= by, moved, y)
  return y


def wavegan(
  length: int = 16384,
  channels: int = 1,
  *,
  num_classes: int | None = None,
  penalty_weight: float = 10.0,
  latent_dim: int = 100,
  generator_width: int = 64,
  critic_width: int = 64,
  shuffle: int = 2,
  learning_rate: float = 1e-4,
  b1: float = 0.5,
  b2: float = 0.9,
  n_critic: int = 5,
  ema_decay: float | None = None,
  dtype: DTypeLike = jnp.float32,
  axis_name: str | None = None,
) -> GAN:
  """The GAN of Donahue et al. for sound.

  Args:
    length: samples of the sound in time, a power of two from 64 on (the
      paper's are 16384 and, in the authors' code, 32768 and 65536);
      `batch['sound']` is `[n, length, channels]` in [-1, 1].
    channels: of the sound: 1 for mono, 2 for stereo.
    num_classes: condition on `batch['label']`, integers from 0 on below it;
      None plays without labels.
    penalty_weight: lambda, of `penalties.gradient_penalty`.
    latent_dim: entries of a latent, uniform in [-1, 1).
    generator_width: channels of the generator's last hidden layer; each one
      before has twice as many.
    critic_width: channels of the critic's first layer; each other has twice as
      many.
    shuffle: the most steps of phase shuffle; 0 plays without.
    learning_rate: Adam's, of both players.
    b1: Adam's decay of the first moment.
    b2: Adam's decay of the second.
    n_critic: critic moves for one of the generator.
    ema_decay: of the averaged generator; None keeps none, as the paper.
    dtype: of the computation.
    axis_name: under pmap and shard_map, the axis over the devices.

  Returns:
    A `GAN` of 'sound'; the critic is the player 'discriminator'.

  Raises:
    ValueError: if the length is no power of two of at least 64; from `init`,
      where labels are needed and the batch has none, or its sound has another
      length.
  """
  strides(length)  # refuses what cannot be built

  def penalty(critic, real, fake, keys):
    return penalty_weight * penalties.gradient_penalty(critic, real, fake, keys)

  return standard_gan(
    Generator(length, channels, generator_width, num_classes, dtype),
    Critic(critic_width, num_classes, shuffle, dtype),
    loss=losses.wasserstein,
    generator_optimizer=optax.adam(learning_rate, b1, b2),
    discriminator_optimizer=optax.adam(learning_rate, b1, b2),
    latent=latents.uniform(latent_dim),
    penalty=penalty,
    n_critic=n_critic,
    ema_decay=ema_decay,
    axis_name=axis_name,
    data='sound',
  )


def strides(length: int) -> tuple[int, ...]:
  """The factors by which the critic's layers shrink sound to 16 steps.

  The generator grows it by the same in reverse. All are 4, but where 16 times a
  power of 4 does not make the length the first is 2: 16384 is 16 * 4 ** 5, and
  8192 is 16 * 4 ** 4 * 2.

  Raises:
    ValueError: if the length is no power of two of at least 64.
  """
  doublings = length.bit_length() - _FIRST.bit_length()
  if length != _FIRST << max(doublings, 2):
    raise ValueError(
      'wavegan: layers of stride 4, or 2 for the outermost, grow 16 steps to '
      f'the sound, so that its length must be a power of two of at least 64, '
      f'such as 4096, 8192 or 16384; got {length}. Shorter clips are filled up '
      'with silence.'
    )
  return (2,) * (doublings % 2) + (4,) * (doublings // 2)


def _dense(features, dtype, use_bias=True):
  return nn.Dense(
    features, use_bias=use_bias, kernel_init=xavier_uniform(), dtype=dtype
  )
