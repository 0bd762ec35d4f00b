"""Small files of a workdir, written whole or not at all, and who may write."""

import contextlib
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import jax

import jgan
from experiments.errors import UserError

try:
  import fcntl
except ImportError:  # Windows has none
  fcntl = None

_BATCH = 'batch.json'


@contextlib.contextmanager
def alone(workdir: Path) -> Iterator[None]:
  """Keeps other runs out of a workdir. UserError: one is in it.

  The lock goes with the process, however it ends. Systems and file systems
  without locks keep nobody out.
  """
  if fcntl is None:
    yield
    return
  folder = os.open(workdir, os.O_RDONLY)
  try:
    fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
  except BlockingIOError as error:
    os.close(folder)
    raise UserError(
      f'another run is training in {workdir}; stop it first, or give another '
      '--workdir'
    ) from error
  except OSError:  # no locks there
    pass
  try:
    yield
  finally:
    os.close(folder)


def write_batch(workdir: Path, batch: jgan.Batch) -> None:
  """Keeps the form of a batch, so that sampling needs no data: batch.json."""
  form = {
    name: {'shape': x.shape, 'dtype': str(x.dtype)} for name, x in batch.items()
  }
  write_json(workdir / _BATCH, form)


def read_batch(workdir: Path) -> dict[str, jax.ShapeDtypeStruct]:
  """The form of the batches of a run, as its data give them.

  `jax.eval_shape(data.to_float, form)` is what `jgan.init` needs.

  Raises:
    UserError: the file is not there, or damaged.
  """
  path = workdir / _BATCH
  try:
    return {
      name: jax.ShapeDtypeStruct(tuple(x['shape']), x['dtype'])
      for name, x in json.loads(path.read_text()).items()
    }
  except (OSError, ValueError, TypeError, LookupError, AttributeError) as error:
    raise UserError(
      f'{path} cannot be read, or tells of no batch ({error}). The command '
      'that trained the run, given again, writes it anew'
    ) from error


def write_json(path: Path, content: Mapping[str, Any]) -> None:
  """Writes a file of JSON, whole or not at all."""
  write_text(path, json.dumps(content, indent=2) + '\n')


def write_text(path: Path, content: str) -> None:
  """Writes a file of text in UTF-8, whole or not at all."""
  write_bytes(path, content.encode('utf-8'))


def write_bytes(path: Path, content: bytes) -> None:
  """Writes a file, whole or not at all, and makes the folders above it."""
  with replacing(path) as part:
    part.write_bytes(content)


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
  """Around the writing of a file: it becomes a whole one, or none.

  Gives the path to write to, in the same folder, which is made if need be; that
  file takes the place of `path`, unless the body raises.
  """
  path.parent.mkdir(parents=True, exist_ok=True)
  part = path.with_name(f'.{path.name}.{os.getpid()}.part')
  try:
    yield part
    os.replace(part, path)
  finally:
    part.unlink(missing_ok=True)
