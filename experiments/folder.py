"""DCGAN on your own pictures: any sizes and modes, subfolders as labels."""

import dataclasses

import jgan
from experiments import data, dcgan


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(dcgan.Config):
  """The numbers worth changing."""

  path: str = ''  # folder of pictures
  resolution: int = 64  # height and width, a power of two
  channels: int = 3  # 3: colour; 1: grey
  mirror: bool = False  # also every picture mirrored


def make_gan(config: Config) -> jgan.GAN:
  return dcgan.make_gan(config, config.resolution, config.channels)


def make_data(config: Config) -> data.Source:
  source, names = data.folder(config.path, config.resolution, config.channels)
  if config.num_classes not in (0, len(names)):
    raise ValueError(
      f'--num-classes={config.num_classes}, but {config.path} has '
      f'{len(names)} subfolders of pictures{": " * bool(names)}'
      f'{", ".join(names)}'
    )
  return data.mirrored(source) if config.mirror else source
