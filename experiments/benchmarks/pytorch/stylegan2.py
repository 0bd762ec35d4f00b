"""The networks of `jgan.models.stylegan2` without labels, and lazy R1."""

import functools
import itertools
import math
from collections.abc import Sequence

import flax.linen as linen
import jax
import torch
from torch import Tensor, nn
from torch.nn import functional

import jgan
from experiments.benchmarks.pytorch.game import (
  Draws,
  Game,
  channels_first,
  channels_last,
)
from experiments.benchmarks.pytorch.losses import cross_entropy, non_saturating
from jgan.models.stylegan2 import SynthesisLayer as LinenSynthesisLayer

_CHANNELS = 3
_DEPTH = 2  # layers of the mapping network
_GAMMA = 0.01
_W_DECAY = 0.998


class Dense(nn.Linear):
  """A layer scaled where it is used."""

  def __init__(self, inputs: int, features: int, rate: float = 1.0):
    super().__init__(inputs, features)
    self.rate = rate

  def forward(self, x: Tensor) -> Tensor:
    scale = self.rate / math.sqrt(self.in_features)
    return functional.linear(x, self.weight * scale, self.bias * self.rate)


class Conv(nn.Conv2d):
  """A convolution, likewise; halves the picture where it has a stride."""

  def forward(self, x: Tensor) -> Tensor:
    size = self.kernel_size[0]
    if self.stride[0] == 2:
      x = blur(x, size // 2 + 1, 1.0)
    kernel = self.weight / math.sqrt(self.in_channels * size**2)
    return self._conv_forward(x, kernel, self.bias)


class ModulatedConv(nn.Conv2d):
  """A convolution whose kernel a style scales, by way of input and output."""

  def __init__(self, inputs: int, features: int, w_dim: int):
    super().__init__(inputs, features, 3, padding=1, bias=False)
    self.style = Dense(w_dim, inputs)

  def forward(self, x: Tensor, w: Tensor) -> Tensor:
    style = self.style(w)
    y = functional.conv2d(x * _planes(style), scaled(self.weight), padding=1)
    return y * _planes(demodulation(style, self.weight.transpose(0, 1)))


class DoublingConv(nn.ConvTranspose2d):
  """The same, but it doubles the picture and blurs it."""

  def __init__(self, inputs: int, features: int, w_dim: int):
    super().__init__(inputs, features, 3, stride=2, bias=False)
    self.style = Dense(w_dim, inputs)

  def forward(self, x: Tensor, w: Tensor) -> Tensor:
    style, kernel = self.style(w), scaled(self.weight.transpose(0, 1))
    kernel = kernel.transpose(0, 1)
    y = functional.conv_transpose2d(x * _planes(style), kernel, stride=2)
    y = y * _planes(demodulation(style, self.weight))
    return blur(y, 1, 2.0)


class PictureConv(nn.Conv2d):
  """The convolution to colours, which does not demodulate."""

  def __init__(self, inputs: int, w_dim: int):
    super().__init__(inputs, _CHANNELS, 1, bias=False)
    self.style = Dense(w_dim, inputs)

  def forward(self, x: Tensor, w: Tensor) -> Tensor:
    style = self.style(w) / math.sqrt(self.in_channels)
    return functional.conv2d(x * _planes(style), self.weight)


class SynthesisLayer(nn.Module):
  """A modulated convolution, noise, bias and leaky ReLU."""

  def __init__(self, conv: nn.Module, features: int):
    super().__init__()
    self.modulated_conv = nn.ModuleList([conv])
    self.noise_strength = nn.Parameter(torch.zeros(()))
    self.bias = nn.Parameter(torch.zeros(features))

  def forward(self, x: Tensor, w: Tensor, noise: Tensor) -> Tensor:
    y = self.modulated_conv[0](x, w) + self.noise_strength * noise
    return activated(y + self.bias[:, None, None])


class Generator(nn.Module):
  """Latents to pictures, by the mapping and the synthesis network."""

  def __init__(self, widths: Sequence[int], w_dim: int):
    super().__init__()
    for i in range(_DEPTH):
      setattr(self, f'map_{i}', Dense(w_dim, w_dim, 0.01))
    first = widths[0]
    self.constant = nn.Parameter(torch.zeros(4, 4, first))
    layers = [SynthesisLayer(ModulatedConv(first, first, w_dim), first)]
    for a, b in itertools.pairwise(widths):
      layers.append(SynthesisLayer(DoublingConv(a, b, w_dim), b))
      layers.append(SynthesisLayer(ModulatedConv(b, b, w_dim), b))
    self.synthesis_layer = nn.ModuleList(layers)
    self.modulated_conv = nn.ModuleList(PictureConv(a, w_dim) for a in widths)
    for i in range(len(widths)):
      bias = nn.Parameter(torch.zeros(_CHANNELS))
      self.register_parameter(f'picture_bias_{4 << i}', bias)
    self.register_buffer('w_mean', torch.zeros(w_dim))

  def forward(self, draws: Draws) -> Tensor:
    w = self._map(draws['latent'])
    start = self.constant.expand(w.shape[0], *self.constant.shape)
    first, *layers = self.synthesis_layer
    first_noise, *noise = draws['noise']
    x = first(channels_first(start), w, first_noise)
    picture = self._picture(0, x, w)
    for i in range(len(layers) // 2):
      x = layers[2 * i](x, w, noise[2 * i])
      x = layers[2 * i + 1](x, w, noise[2 * i + 1])
      picture = doubled(picture) + self._picture(i + 1, x, w)
    return picture

  def _map(self, latent):
    x = latent * torch.rsqrt(latent.square().mean(1, keepdim=True) + 1e-8)
    for i in range(_DEPTH):
      x = activated(getattr(self, f'map_{i}')(x))
    if self.training:
      self.w_mean.lerp_(x.detach().mean(0), 1 - _W_DECAY)
    return x

  def _picture(self, i, x, w):
    bias = getattr(self, f'picture_bias_{4 << i}')
    return self.modulated_conv[i](x, w) + bias[:, None, None]


class Discriminator(nn.Module):
  """Pictures to logits, by residual blocks and the batch's deviation."""

  def __init__(self, widths: Sequence[int]):
    super().__init__()
    convs = [Conv(_CHANNELS, widths[-1], 1)]
    for a, b in itertools.pairwise(reversed(widths)):
      convs.append(Conv(a, a, 3, padding=1))
      convs.append(Conv(a, b, 3, stride=2))
      convs.append(Conv(a, b, 1, stride=2, bias=False))
    convs.append(Conv(widths[0] + 1, widths[0], 3, padding=1))
    self.conv = nn.ModuleList(convs)
    self.dense = nn.ModuleList(
      [Dense(16 * widths[0], widths[0]), Dense(widths[0], 1)]
    )

  def forward(self, pictures: Tensor) -> Tensor:
    first, *blocks, last = self.conv
    x = activated(first(pictures))
    for i in range(0, len(blocks), 3):
      keep, halve, skip = blocks[i : i + 3]
      y = activated(halve(activated(keep(x))))
      x = (y + skip(x)) / math.sqrt(2)
    x = torch.cat([x, deviation(x)], 1)
    x = channels_last(activated(last(x))).flatten(1)
    return self.dense[1](activated(self.dense[0](x)))[:, 0]


def deviation(x: Tensor) -> Tensor:
  """How much examples differ in groups of 4, as one more channel."""
  group = min(4, x.shape[0])
  variance = x.unflatten(0, (group, -1)).var(0, correction=0)
  spread = (variance + 1e-8).sqrt().mean((1, 2, 3)).repeat(group)
  return spread[:, None, None, None].expand(-1, 1, *x.shape[2:])


def scaled(kernel: Tensor) -> Tensor:
  """A kernel [out, in, h, w] of unit entries, for outputs of unit variance."""
  return kernel / math.sqrt(kernel[0].numel())


def demodulation(style: Tensor, kernel: Tensor) -> Tensor:
  """What brings outputs back to unit variance, of a kernel [in, out, h, w]."""
  power = style.square() @ kernel.square().mean((2, 3)) / kernel.shape[0]
  return torch.rsqrt(power + 1e-8)


def activated(x: Tensor) -> Tensor:
  """Leaky ReLU that keeps the second moment."""
  return functional.leaky_relu(x, 0.2) * math.sqrt(2)


def blur(x: Tensor, pad: int, gain: float) -> Tensor:
  """Filters with 1, 3, 3, 1 along both axes; `gain` is the sum of taps."""
  kernel = _filter(x) * (gain / 8) ** 2
  return functional.conv2d(x, kernel, padding=pad, groups=x.shape[1])


def doubled(x: Tensor) -> Tensor:
  """Twice the size, linearly between pixels, zeros beyond the edges."""
  kernel = _filter(x) / 16
  return functional.conv_transpose2d(
    x, kernel, stride=2, padding=1, groups=x.shape[1]
  )


def _filter(x):
  # 1, 3, 3, 1, made where x is: a captured step can copy nothing there.
  taps = torch.arange(4, device=x.device)
  taps = (3 - 2 * (taps % 3 == 0)).to(x.dtype)
  return torch.outer(taps, taps).expand(x.shape[1], 1, 4, 4)


def _planes(x):
  return x[:, :, None, None]


def discriminator_loss(
  discriminator: nn.Module, real: Tensor, fake: Tensor, draws: Draws
) -> Tensor:
  """Two calls, since the deviation is of one kind of pictures."""
  return cross_entropy(discriminator(real), discriminator(fake))


def penalty_loss(every: int, discriminator: nn.Module, real: Tensor) -> Tensor:
  """R1, for as many steps as pass between two of its moves."""
  real = real.detach().requires_grad_()
  # A module that is compiled has no second derivatives; its forward is not.
  logits = discriminator.forward(real).sum()
  (slope,) = torch.autograd.grad(logits, real, create_graph=True)
  return every * _GAMMA / 2 * slope.square().sum((1, 2, 3)).mean()


def jgan_draws(
  gan: jgan.GAN, state: jgan.TrainState, batch: jgan.Batch, key: jax.Array
) -> Draws:
  """The layers' noise in jgan's step."""
  key = jax.random.fold_in(jax.random.fold_in(key, 1), state.step)
  noise = []

  def record(layer, args, kwargs, context):
    module = context.module
    if not isinstance(module, LinenSynthesisLayer):
      return layer(*args, **kwargs)
    drawn = module.make_rng('noise')
    y = layer(*args, **kwargs)
    shape = y.shape[0], *y.shape[1:3], 1
    noise.append(jax.random.normal(drawn, shape).transpose(0, 3, 1, 2))
    return y

  generator = next(p for p in gan.players if p.label == 'generator')
  with linen.intercept_methods(record):
    generator.loss(state.variables, batch, key, state.step)
  return {'noise': noise}


def game(
  widths: Sequence[int] = (64, 64, 64, 32),
  w_dim: int = 64,
  batch: int = 16,
  penalty_every: int = 8,
) -> Game:
  """The game of `jgan.models.stylegan2`, of channels at 4x4, 8x8, ... .

  Styles are not mixed, and there is no move of the path length.
  """

  def modules():
    return {
      'generator': Generator(widths, w_dim),
      'discriminator': Discriminator(widths),
    }

  resolution = 2 << len(widths)
  gan = jgan.models.stylegan2(
    resolution,
    _CHANNELS,
    widths=widths,
    latent_dim=w_dim,
    w_dim=w_dim,
    depth=_DEPTH,
    mix=0.0,
    gamma=_GAMMA,
    path_weight=0.0,
    penalty_every=penalty_every,
  )
  sizes = [4, *(4 << i for i in range(1, len(widths)) for _ in range(2))]

  def draw(device):
    latent = torch.randn(batch, w_dim, device=device)
    noise = [torch.randn(batch, 1, n, n, device=device) for n in sizes]
    return {'latent': latent, 'noise': noise}

  return Game(
    about=f'{resolution}x{resolution}, widths {widths}, w of {w_dim}, R1 every '
    f'{penalty_every} (paper: 512 all, 512, 16), no path length',
    gan=gan,
    real=(batch, resolution, resolution, _CHANNELS),
    latent=(batch, w_dim),
    modules=modules,
    discriminator_loss=discriminator_loss,
    generator_loss=non_saturating,
    draw=draw,
    penalty_loss=functools.partial(penalty_loss, penalty_every),
    jgan_draws=functools.partial(jgan_draws, gan),
  )


def small() -> Game:
  """Few units, for `parity`."""
  return game((4, 6, 4), 6, batch=4)
