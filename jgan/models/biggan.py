"""BigGAN: wide residual networks, classes and latents in every block.

Brock et al., Large Scale GAN Training for High Fidelity Natural Image
Synthesis, 2019 (https://arxiv.org/abs/1809.11096): the networks of
`jgan.models.sagan` at a larger width; conditional batch normalisation whose
scales and biases are linear in one embedding of the label that all blocks share
and in a part of the latent of each block's own; orthogonal initialisation and
regularisation; batches as large as they fit. To sample by truncation take
`jgan.latents.truncated_normal`, and after `jgan.standing_statistics`.

The defaults are those of the authors' later code for CIFAR-10: four times 64
channels, the label straight to the normalisations, no attention, N(0, .02);
with its biases 4.30M and 4.21M parameters. The paper's networks for ImageNet at
128 pixels are `width=96, latent_dim=120, shared_dim=128, skip=True,
attention=64` and orthogonal initialisation: 70.43M and 87.98M.

`auxiliary=d2d_ce_term(...)` with `embedding_dim` makes it ReACGAN (Kang et al.,
Rebooting ACGAN, 2021, https://arxiv.org/abs/2111.01118): the discriminator is
not conditioned by projection, but keeps apart its features of other classes.

Differences: no biases in the generator's blocks, where normalisations take them
out; running statistics follow with momentum .9; what makes scales and biases of
the normalisations is not spectrally normalised, and without `shared_dim` it
starts at 0; orthogonal regularisation is part of the generator's gradient, and
not of the loss that is told; the channels at other sizes than 32 and 128 pixels
follow the rule of `jgan.models.sngan`.
"""

import functools
from collections.abc import Mapping
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Int

from jgan import initializers, latents, losses
from jgan.convolutions import pointwise
from jgan.gan import GAN
from jgan.initializers import Initializer
from jgan.layers import (
  BatchNorm,
  ConditionalBatchNorm,
  SelfAttention,
  one_hot,
)
from jgan.models.resnet import DownBlock, Images, Layer, PlainBlock, UpBlock
from jgan.models.sngan import check_attention, last_size, spectral, widths
from jgan.standard import Auxiliary, standard_gan

_N02 = initializers.normal(0.02)
_zeros = nn.initializers.zeros


class Generator(nn.Module):
  """Latents and labels to pictures in [-1, 1].

  Attributes:
    resolution: height and width, a power of two of at least 8.
    channels: of the picture.
    num_classes: of the labels.
    width: channels of all blocks up to 32 pixels; beyond a quarter of it in the
      last, see `sngan.widths`.
    shared_dim: entries of the embedding that all blocks share; None gives the
      one-hot label to each.
    skip: give each block a part of the latent of its own.
    attention: height and width of what an attention sees; None has none.
    kernel_init: of all kernels; without `shared_dim` those of the
      normalisations start at 0.
    dtype: of the computation; params, spectral norms and pictures are float32.
    axis_name: of pmap or shard_map, for batch statistics of all devices.
  """

  resolution: int
  channels: int
  num_classes: int
  width: int = 256
  shared_dim: int | None = None
  skip: bool = False
  attention: int | None = None
  kernel_init: Initializer = _N02
  dtype: DTypeLike = jnp.float32
  axis_name: str | None = None

  @nn.compact
  def __call__(
    self,
    latent: Float[Array, 'n d'],
    label: Int[Array, 'n'] | None,
    *,
    train: bool,
  ) -> Float[Array, 'n h w c']:
    conv = functools.partial(
      _conv, init=self.kernel_init, dtype=self.dtype, train=train
    )
    condition = one_hot(label, self.num_classes)
    if self.shared_dim is not None:
      embed = nn.Dense(
        self.shared_dim,
        use_bias=False,
        kernel_init=self.kernel_init,
        name='embed',
      )
      condition = embed(condition)
    first, *rest = widths(self.resolution, self.width, 4)
    latent, *parts = self._parts(latent, len(rest))
    dense = spectral(
      nn.Dense(16 * first, kernel_init=self.kernel_init, dtype=self.dtype),
      train=train,
    )
    x = dense(latent).reshape(-1, 4, 4, first)
    for features, part in zip(rest, parts, strict=True):
      if x.shape[1] == self.attention:
        x = self._attend(x, train)
      norm = self._norm(jnp.concatenate([condition, part], -1), train)
      x = UpBlock(features, norm, conv)(x)
    norm = BatchNorm(0.9, dtype=self.dtype, axis_name=self.axis_name)
    x = conv(self.channels, 3)(nn.relu(norm(x, not train)))
    return jnp.tanh(x.astype(jnp.float32))

  def _parts(self, latent, blocks):
    """The latent of the first layer, then that of each block."""
    if not self.skip:
      return [latent, *[latent[:, :0]] * blocks]
    return jnp.split(latent, blocks + 1, -1)

  def _attend(self, x, train):
    wrap = functools.partial(spectral, train=train)
    return SelfAttention(self.kernel_init, wrap, self.dtype)(x)

  def _norm(self, condition, train):
    def norm(x):
      normalise = ConditionalBatchNorm(
        self.kernel_init if self.shared_dim is not None else _zeros,
        momentum=0.9,
        dtype=self.dtype,
        axis_name=self.axis_name,
      )
      return normalise(x, condition, not train)

    return norm


class Discriminator(nn.Module):
  """Pictures and labels to 'logits', and features where they are asked for.

  Attributes:
    num_classes: of the labels.
    width: channels of all blocks up to 32 pixels; beyond a quarter of it in the
      first, see `sngan.widths`.
    attention: height and width of what an attention sees; None has none.
    embedding_dim: entries of 'embedding' `[n, d]` and 'proxy' `[n, d]` (of the
      example's class), both of length 1, which take the place of the
      projection; None projects.
    kernel_init: of all kernels.
    dtype: of the computation; params, spectral norms and logits are float32.
  """

  num_classes: int
  width: int = 256
  attention: int | None = None
  embedding_dim: int | None = None
  kernel_init: Initializer = _N02
  dtype: DTypeLike = jnp.float32

  @nn.compact
  def __call__(
    self, image: Images, label: Int[Array, 'n'] | None, *, train: bool
  ) -> Mapping[str, Array]:
    wrap = functools.partial(spectral, train=train)
    shared = {
      'conv': functools.partial(
        _conv, init=self.kernel_init, dtype=self.dtype, train=train
      )
    }
    first, *rest = reversed(widths(image.shape[1], self.width, 4))
    x = DownBlock(first, before=lambda x: x, **shared)(image)
    for i, features in enumerate(rest, 1):
      if image.shape[1] >> i == self.attention:
        x = SelfAttention(self.kernel_init, wrap, self.dtype)(x)
      smaller = x.shape[1] > last_size(image.shape[1])
      x = (DownBlock if smaller else PlainBlock)(features, **shared)(x)
    x = nn.relu(x).astype(jnp.float32).sum((1, 2))
    dense = functools.partial(nn.Dense, kernel_init=self.kernel_init)
    logits = wrap(dense(1))(x)[:, 0]
    classes = one_hot(label, self.num_classes)
    if self.embedding_dim is None:
      embedded = wrap(dense(x.shape[-1], use_bias=False))(classes)
      return {'logits': logits + (x * embedded).sum(-1)}
    proxy = dense(self.embedding_dim, use_bias=False, name='proxy')(classes)
    embedding = wrap(dense(self.embedding_dim, name='embedding'))(x)
    return {
      'logits': logits,
      'embedding': _unit(embedding),
      'proxy': _unit(proxy),
    }


def d2d_ce_term(
  weight: float = 0.5, margin: float = 0.98, temperature: float = 0.5
) -> Auxiliary:
  """`data_to_data_cross_entropy` of a discriminator's 'embedding' and 'proxy'.

  The discriminator descends that of reals, the generator that of its fakes.

  Args:
    weight: of both.
    margin: beyond it an example is near enough to its class, and below what it
      leaves of 1 far enough from others.
    temperature: of the similarities.
  """

  def auxiliary(real, fake, latent, batch):
    of_real, of_fake = (
      weight
      * data_to_data_cross_entropy(
        outputs['embedding'],
        outputs['proxy'],
        batch['label'],
        margin,
        temperature,
      )
      for outputs in (real, fake)
    )
    return of_fake, of_real

  return auxiliary


def data_to_data_cross_entropy(
  embedding: Float[Array, 'n d'],
  proxy: Float[Array, 'n d'],
  label: Int[Array, 'n'],
  margin: float = 0.98,
  temperature: float = 0.5,
) -> Float[Array, 'n']:
  r"""ReACGAN's loss: near to one's class, far from the examples of others.

  With f of length 1, v the class's proxy, m the margin, t the temperature,
  :math:`s_i = \min(f_i \cdot v_i - m, 0) / t` and
  :math:`s_{ij} = \max(f_i \cdot f_j - (1 - m), 0) / t`,

  .. math::
    -\log \frac{\exp s_i}{\exp s_i + \sum_{j: y_j \ne y_i} \exp s_{ij}}

  Args:
    embedding: f.
    proxy: v, of each example's class.
    label: y.
    margin: m.
    temperature: t.

  References:
    Kang et al., 2021, section 3.
  """
  own = jnp.minimum((embedding * proxy).sum(-1) - margin, 0) / temperature
  pairs = jnp.matmul(embedding, embedding.T, precision='highest')
  pairs = jnp.maximum(pairs - (1 - margin), 0) / temperature
  others = label[:, None] != label[None]
  pairs = jnp.where(others, pairs, -jnp.inf)
  every = jnp.concatenate([own[:, None], pairs], -1)
  return jax.nn.logsumexp(every, -1) - own


def orthogonal_regularization(
  strength: float,
) -> optax.GradientTransformation:
  r"""Adds the gradient of what keeps kernels' filters orthogonal.

  Of :math:`\beta \lVert W^\top W \odot (1 - I) \rVert_F^2 / 2` for each kernel
  as a matrix `[rest, features]`: lengths are free, angles are not. The half is
  that of the authors' later code; the paper's formula has none. As there, the
  embedding that all blocks share, `embed` of the generator, is left alone.

  Args:
    strength: beta; the paper's 1e-4.

  References:
    Brock et al., 2019, section 3.1.
  """

  def slope(path, update, param):
    if path[-1].key != 'kernel' or path[0].key == 'embed':
      return update
    w = param.reshape(-1, param.shape[-1])
    products = jnp.matmul(w.T, w, precision='highest')
    products *= 1 - jnp.eye(len(products), dtype=w.dtype)
    product = jnp.matmul(w, products, precision='highest')
    return update + 2 * strength * product.reshape(param.shape)

  def update(updates, state, params=None):
    if params is None:
      raise ValueError('orthogonal_regularization: needs the params.')
    return jax.tree_util.tree_map_with_path(slope, updates, params), state

  return optax.GradientTransformation(lambda _: optax.EmptyState(), update)


def biggan(
  resolution: int = 32,
  channels: int = 3,
  num_classes: int = 10,
  *,
  width: int = 64,
  latent_dim: int = 128,
  shared_dim: int | None = None,
  skip: bool = False,
  attention: int | None = None,
  embedding_dim: int | None = None,
  kernel_init: Initializer = _N02,
  orthogonal: float = 0.0,
  loss: losses.AdversarialLoss = losses.hinge,
  learning_rate: optax.ScalarOrSchedule = 2e-4,
  discriminator_learning_rate: optax.ScalarOrSchedule = 2e-4,
  b1: float = 0.0,
  b2: float = 0.999,
  eps: float = 1e-8,
  n_critic: int = 4,
  ema_decay: float | None = 0.9999,
  dtype: DTypeLike = jnp.float32,
  axis_name: str | None = None,
  **options: Any,
) -> GAN:
  """The class-conditional GAN of Brock et al.

  Args:
    resolution: height and width of the pictures, a power of two from 8 on;
      `batch['image']` is `[n, resolution, resolution, channels]` in [-1, 1].
    channels: of the pictures.
    num_classes: of `batch['label']`, integers from 0 on below it.
    width: a quarter of the channels of all blocks up to 32 pixels; from 64 on
      those of the generator's last and the discriminator's first block, doubled
      with each halving of the picture, up to 16 times as many.
    latent_dim: entries of a latent, standard normal; with `skip` a multiple of
      the number of blocks and one.
    shared_dim: of the label's embedding that all blocks share; None for none.
    skip: give each block a part of the latent.
    attention: height and width of what the attentions see, a size that both
      networks have; None for none.
    embedding_dim: of the features that `d2d_ce_term` needs; None projects.
    kernel_init: of all kernels but those of the normalisations without
      `shared_dim`; such as `flax.linen.initializers.orthogonal()`.
    orthogonal: strength of the generator's `orthogonal_regularization`.
    loss: the game.
    learning_rate: Adam's, of the generator; a schedule counts its moves.
    discriminator_learning_rate: Adam's; a schedule counts its moves.
    b1: Adam's decay of the first moment.
    b2: Adam's decay of the second.
    eps: Adam's epsilon.
    n_critic: discriminator moves for one of the generator.
    ema_decay: of the averaged generator; None keeps none.
    dtype: of the computation.
    axis_name: under pmap and shard_map, the axis over the devices.
    **options: other arguments of `standard_gan`: `auxiliary`, `augment`.

  Returns:
    A `GAN` with labels.

  Raises:
    ValueError: if the resolution is no power of two of at least 8, a network
      has no such size as `attention`, the latent does not divide, or there are
      less than two classes; from `init`, if the batch has no labels.
  """
  blocks = len(widths(resolution, width, 4)) - 1
  if num_classes < 2:
    raise ValueError(f'biggan: needs two classes or more, got {num_classes}.')
  if attention is not None:
    check_attention('biggan', attention, resolution)
  if skip and latent_dim % (blocks + 1):
    raise ValueError(
      f'biggan: {blocks} blocks and the first layer need a latent that divides '
      f'by {blocks + 1}, got latent_dim={latent_dim}.'
    )
  shared = {
    'attention': attention,
    'kernel_init': kernel_init,
    'dtype': dtype,
  }
  own = optax.adam(learning_rate, b1, b2, eps)
  if orthogonal:
    own = optax.chain(orthogonal_regularization(orthogonal), own)
  return standard_gan(
    Generator(
      resolution,
      channels,
      num_classes,
      4 * width,
      shared_dim,
      skip,
      axis_name=axis_name,
      **shared,
    ),
    Discriminator(
      num_classes, 4 * width, embedding_dim=embedding_dim, **shared
    ),
    loss=loss,
    generator_optimizer=own,
    discriminator_optimizer=optax.adam(
      discriminator_learning_rate, b1, b2, eps
    ),
    latent=latents.normal(latent_dim),
    n_critic=n_critic,
    ema_decay=ema_decay,
    axis_name=axis_name,
    **options,
  )


def _conv(features, size, *, init, dtype, train, **options) -> Layer:
  if size == 1:
    options['conv_general_dilated'] = pointwise
  layer = nn.Conv(
    features, (size, size), kernel_init=init, dtype=dtype, **options
  )
  return spectral(layer, train=train)


def _unit(x: Float[Array, 'n d']) -> Float[Array, 'n d']:
  return x * jax.lax.rsqrt((x**2).sum(-1, keepdims=True) + 1e-12)
