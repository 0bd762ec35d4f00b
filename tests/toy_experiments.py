"""Experiments with numbers alone, for tests of command lines and workdirs."""

import dataclasses
from types import SimpleNamespace
from typing import Literal

import pytest

from experiments import config, errors


@dataclasses.dataclass(frozen=True, kw_only=True)
class Digits(config.Config):
  steps: int = 3000
  batch_size: int = 64
  latent_dim: int = 64  # numbers in a latent
  learning_rate: float = 2e-4  # of Adam, for both players
  mirror: bool = False  # flip half of the pictures
  data_dir: str | None = None  # where the data set lies


@dataclasses.dataclass(frozen=True, kw_only=True)
class Folder(config.Config):
  steps: int = 9000
  batch_size: int = 16
  path: str  # folder of pictures
  betas: tuple[float, float] = (0.5, 0.999)  # Adam's decay rates
  widths: tuple[int, ...] = (64, 32)  # channels by layer
  loss: Literal['hinge', 'minimax'] = 'hinge'  # the game
  flip: bool = True  # flip half of the pictures


EXPERIMENTS = {
  'digits': SimpleNamespace(
    Config=Digits, __doc__='A DCGAN on digits.\n\nMore.'
  ),
  'mnist-dcgan': SimpleNamespace(Config=Digits, __doc__=None),
  'folder': SimpleNamespace(Config=Folder, __doc__='Your own pictures.'),
}


def refusal(call, *args):
  with pytest.raises(errors.UserError) as caught:
    call(*args)
  return str(caught.value)
