"""The residual networks of `jgan.models.sngan` and `wgan_gp`, at 32x32."""

from collections.abc import Callable

from torch import Tensor, nn
from torch.nn import functional

from experiments.benchmarks.pytorch.game import Draws, channels_first

LATENT = 128
CHANNELS = 3

Conv = Callable[..., nn.Module]


class UpBlock(nn.Module):
  """Doubles a picture; see `jgan.models.resnet.UpBlock`."""

  def __init__(self, width: int):
    super().__init__()
    self.conv = nn.ModuleList(
      nn.Conv2d(width, width, size, padding=size // 2, bias=False)
      for size in (3, 3, 1)
    )
    self.batch_norm = nn.ModuleList(nn.BatchNorm2d(width) for _ in range(2))

  def forward(self, x: Tensor) -> Tensor:
    first, second, shortcut = self.conv
    y = first(doubled(self.batch_norm[0](x).relu_()))
    y = second(self.batch_norm[1](y).relu_())
    return y + doubled(shortcut(x))


class Generator(nn.Module):
  """Three blocks from 4x4 to 32x32."""

  def __init__(self, width: int):
    super().__init__()
    self.dense = nn.ModuleList([nn.Linear(LATENT, 16 * width)])
    self.up_block = nn.ModuleList(UpBlock(width) for _ in range(3))
    self.batch_norm = nn.ModuleList([nn.BatchNorm2d(width)])
    self.conv = nn.ModuleList([nn.Conv2d(width, CHANNELS, 3, padding=1)])

  def forward(self, draws: Draws) -> Tensor:
    latent = draws['latent']
    x = self.dense[0](latent).reshape(latent.shape[0], 4, 4, -1)
    x = channels_first(x)
    for block in self.up_block:
      x = block(x)
    return self.conv[0](self.batch_norm[0](x).relu_()).tanh()


class DownBlock(nn.Module):
  """Halves a picture; see `jgan.models.resnet.DownBlock`."""

  def __init__(self, inputs: int, width: int, conv: Conv):
    super().__init__()
    self.conv = nn.ModuleList(
      [
        conv(inputs, width, 3, padding=1),
        conv(width, width, 3, padding=1),
        conv(inputs, width, 1),
      ]
    )

  def forward(self, x: Tensor) -> Tensor:
    first, second, shortcut = self.conv
    picture = x.shape[1] == CHANNELS  # which a ReLU would cut
    y = first(x if picture else x.relu())
    return halved(second(y.relu_())) + shortcut(halved(x))


class PlainBlock(nn.Module):
  """Keeps the size; see `jgan.models.resnet.PlainBlock`."""

  def __init__(self, width: int, conv: Conv):
    super().__init__()
    self.conv = nn.ModuleList(conv(width, width, 3, padding=1) for _ in '12')

  def forward(self, x: Tensor) -> Tensor:
    first, second = self.conv
    return second(first(x.relu()).relu_()) + x


class Features(nn.Module):
  """The blocks of a discriminator, to rectified features of 8x8."""

  def __init__(self, width: int, conv: Conv):
    super().__init__()
    self.down_block = nn.ModuleList(
      [DownBlock(CHANNELS, width, conv), DownBlock(width, width, conv)]
    )
    self.plain_block = nn.ModuleList(PlainBlock(width, conv) for _ in range(2))

  def features(self, x: Tensor) -> Tensor:
    for block in (*self.down_block, *self.plain_block):
      x = block(x)
    return x.relu()


def doubled(x: Tensor) -> Tensor:
  """Every pixel as two by two."""
  return functional.interpolate(x, scale_factor=2, mode='nearest')


def halved(x: Tensor) -> Tensor:
  """Means of two by two pixels."""
  return functional.avg_pool2d(x, 2)
