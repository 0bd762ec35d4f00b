"""Where PyTorch computes: where jax does, and in its precision."""

import contextlib
import os
from collections.abc import Iterator

import jax
import torch

from experiments.benchmarks.pytorch.game import Modules
from experiments.errors import UserError

CPU = torch.device('cpu')


def chosen() -> torch.device:
  """The CPU or the GPU that jax has found, set up for speed.

  On a GPU with cuDNN's fastest algorithms, and with products and convolutions
  in TF32 as XLA's are by default.

  Raises:
    UserError: PyTorch cannot compute there.
  """
  # By default jax takes most of a GPU's memory, of which PyTorch needs some.
  os.environ.setdefault('XLA_PYTHON_CLIENT_PREALLOCATE', 'false')
  if jax.default_backend() == 'cpu':
    torch.set_num_threads(os.cpu_count())
    return CPU
  if jax.default_backend() != 'gpu' or not torch.cuda.is_available():
    raise UserError(
      f'jax found {jax.devices()[0].device_kind}, where PyTorch '
      f'{torch.__version__} cannot compute. Install its build for that GPU, or '
      'run: JAX_PLATFORMS=cpu python -m experiments.benchmark torch'
    )
  torch.backends.cudnn.benchmark = True
  _round(True)
  return torch.device('cuda')


@contextlib.contextmanager
def exact(device: torch.device) -> Iterator[None]:
  """Products of both frameworks in float32 throughout, on a GPU too."""
  if device == CPU:
    yield
    return
  _round(False)
  try:
    with jax.default_matmul_precision('highest'):
      yield
  finally:
    _round(True)


def _round(tf32: bool) -> None:
  torch.backends.cuda.matmul.allow_tf32 = tf32
  torch.backends.cudnn.allow_tf32 = tf32


def of(modules: Modules) -> torch.device:
  """Where the networks are."""
  return next(modules['generator'].parameters()).device


def wait(device: torch.device) -> None:
  """Returns when all is computed."""
  if device.type == 'cuda':
    torch.cuda.synchronize(device)
