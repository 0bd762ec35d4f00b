"""Checkpoints of a run: written in the background, checked when read.

Orbax writes whole checkpoints or none, but reads flipped bits without a word.
So a checkpoint holds the CRC of each of its arrays, and one that is damaged
gives way to the one before it.
"""

import contextlib
import functools
import logging
import pathlib
import sys
import zlib
from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np

from experiments.errors import UserError

PyTree = Any


def _to_stderr(text: str) -> None:
  print(text, file=sys.stderr)


class Checkpoints(contextlib.AbstractContextManager):
  """The checkpoints in a directory, each under the number of its step.

  With `keep` they are a run's own: `save` writes and makes the directory,
  `restore` deletes damaged ones. Without, they are another's, to be read only.

  Args:
    directory: Where they are; need not exist.
    keep: How many of the newest to keep, at least 1. None: read only.
    report: Gets a line of text about each damaged checkpoint.
  """

  def __init__(
    self,
    directory: str | pathlib.Path,
    keep: int | None = None,
    report: Callable[[str], None] = _to_stderr,
  ):
    if keep is not None and keep < 1:
      raise ValueError(f'Checkpoints: keep must be at least 1, got {keep}.')
    self._directory = pathlib.Path(directory).resolve()
    self._keep = keep
    self._report = report
    self._manager = None

  def steps(self) -> list[int]:
    """The steps saved, oldest first, those still being written included."""
    if not self._directory.is_dir():
      return []
    return sorted(self._open().all_steps())

  def save(self, step: int, state: PyTree) -> None:
    """Copies `state` to the host and writes it in the background.

    The arrays may be donated as soon as this returns. A step that is saved
    already is left as it is. An error of the write itself is raised by the
    next `save`, `wait` or `close`.

    Args:
      step: Steps done; more than in any checkpoint there is.
      state: Tree of arrays.

    Raises:
      ValueError: A later step is saved already, or this is read only.
    """
    if self._keep is None:
      raise ValueError(f'save: {self._directory} was opened without keep.')
    if step in self.steps():
      return
    self.wait()
    ocp = _orbax()
    # Orbax copies numpy arrays before it returns; on CPU these are views.
    arrays = jax.tree.map(np.asarray, jax.device_get(_named(state)))
    args = ocp.args.Composite(
      arrays=ocp.args.PyTreeSave(arrays),
      record=ocp.args.JsonSave(_record(arrays)),
    )
    if not self._open().save(step, args=args):
      raise ValueError(
        f'save: step {step} is below the steps {self.steps()} that are saved'
        f' in {self._directory}. Use another directory or delete those.'
      )

  def restore(self, template: PyTree) -> tuple[int, PyTree] | None:
    """The newest good checkpoint.

    Args:
      template: Tree of arrays or `jax.ShapeDtypeStruct`s as it was saved; each
        array goes where the template's `sharding` says.

    Returns:
      The step and the state, or None where nothing is saved yet.

    Raises:
      FileNotFoundError: Nothing is saved and this is read only.
      ValueError: All are damaged, or the newest good one has other paths,
        shapes or dtypes than the template. Nothing is deleted.
    """
    self.wait()
    damaged = []
    for step in reversed(self.steps()):
      try:
        arrays = self._load(step)
      except Exception as error:  # Damaged files make orbax raise anything.
        damaged.append(step)
        self._report(
          f'Checkpoint {self._directory / str(step)} is damaged'
          f' ({_line(error)}); trying the one before it.'
        )
        continue
      self._check_model(step, arrays, template)
      self._forget(damaged)
      return step, _placed(arrays, template)
    if damaged:
      raise ValueError(
        f'restore: every checkpoint in {self._directory} is damaged (steps'
        f' {sorted(damaged)}). Put back a copy of one, or delete the directory'
        ' to start anew.'
      )
    if self._keep is None:
      raise FileNotFoundError(
        f'restore: no checkpoint in {self._directory}. Train first, or name'
        ' the directory of a run that has saved one.'
      )
    return None

  def go_back(self, step: int) -> None:
    """Deletes what is saved of later steps, and reports each."""
    self.wait()
    self._forget([later for later in self.steps() if later > step])

  def wait(self) -> None:
    """Returns when all saved is on disk. UserError: it could not be."""
    if self._manager is None:
      return
    try:
      self._manager.wait_until_finished()
    except Exception as error:
      raise UserError(
        f'No checkpoint could be written to {self._directory}:'
        f' {_line(error)}. The last good one is of step'
        f' {max(self.steps(), default=None)}.'
      ) from error

  def close(self) -> None:
    """Waits, then stops the threads that write."""
    if self._manager is not None:
      with contextlib.closing(self._manager):
        self.wait()
      self._manager = None

  def __exit__(self, *exception):
    self.close()

  def _open(self):
    if self._manager is None:
      ocp = _orbax()
      alone = jax.process_index()  # of several processes, one has checkpoints
      if self._keep is not None:
        self._directory.mkdir(parents=True, exist_ok=True)
      options = ocp.CheckpointManagerOptions(
        max_to_keep=self._keep,
        read_only=self._keep is None,
        create=False,  # orbax does not for one process of several
        cleanup_tmp_directories=True,  # what a kill during a save left
        # Otherwise a directory that cannot be made hangs the exit: threads
        # wait ten minutes for it.
        async_options=ocp.AsyncOptions(create_directories_asynchronously=False),
        multiprocessing_options=ocp.options.MultiprocessingOptions(
          primary_host=alone, active_processes={alone}
        ),
      )
      self._manager = ocp.CheckpointManager(
        self._directory, options=options, handler_registry=_handlers()
      )
    return self._manager

  def _load(self, step: int) -> Mapping[str, np.ndarray]:
    ocp = _orbax()
    args = ocp.args.Composite(
      arrays=ocp.args.PyTreeRestore(), record=ocp.args.JsonRestore()
    )
    restored = self._open().restore(step, args=args)
    found, record = _record(restored.arrays), restored.record
    paths = sorted(found.keys() | record.keys())
    wrong = [path for path in paths if found.get(path) != record.get(path)]
    if wrong:
      raise ValueError(
        f'{len(wrong)} of {len(paths)} arrays are not what was saved, the'
        f' first is {wrong[0]}'
      )
    return restored.arrays

  def _check_model(self, step, arrays, template):
    stored = {path: _kind(array) for path, array in arrays.items()}
    expected = {path: _kind(leaf) for path, leaf in _named(template).items()}
    differences = [
      f'  {path}: stored {stored.get(path, "nothing")},'
      f' expected {expected.get(path, "nothing")}'
      for path in sorted(stored.keys() | expected.keys())
      if stored.get(path) != expected.get(path)
    ]
    if differences:
      raise ValueError(
        f'restore: checkpoint {self._directory / str(step)} is of another'
        f' model; {len(differences)} arrays differ:\n'
        + '\n'.join(differences[:5] + ['  ...'] * (len(differences) > 5))
        + '\nUse the model that it was saved from, or another directory.'
      )

  def _forget(self, damaged):
    # Orbax saves no step at or below the newest in the directory.
    if self._keep is not None:
      for step in damaged:
        self._open().delete(step)
        self._report(f'Deleted {self._directory / str(step)}.')


@functools.cache
def _orbax():
  # Not at the top: it takes a third of a second, which --help need not wait.
  import orbax.checkpoint

  # It warns of what is checked here; what fails is raised as well.
  logging.getLogger('absl').addFilter(
    lambda record: 'orbax' not in record.pathname
  )
  return orbax.checkpoint


def _handlers():
  ocp = _orbax()

  class OneByOne(ocp.type_handlers.NumpyHandler):
    """Reads an array after the other.

    Orbax reads all at once and stops at the first that fails; each of the
    others then prints a traceback from a thread, and no one can catch it.
    """

    async def deserialize(self, infos, args=None):
      args = args or [ocp.RestoreArgs()] * len(infos)
      read = super().deserialize
      return [
        (await read([info], [arg]))[0]
        for info, arg in zip(infos, args, strict=True)
      ]

  types = ocp.type_handlers.create_type_handler_registry(
    (np.ndarray, OneByOne())
  )
  arrays = ocp.PyTreeCheckpointHandler(type_handler_registry=types)
  handlers = ocp.DefaultCheckpointHandlerRegistry()
  handlers.add('arrays', ocp.args.PyTreeSave, arrays)
  handlers.add('arrays', ocp.args.PyTreeRestore, arrays)
  return handlers


def _line(error: Exception) -> str:
  text = ' '.join(f'{type(error).__name__}: {error}'.split())
  # Orbax says what went wrong at the end, after long paths.
  return text if len(text) <= 200 else f'{text[:90]} ... {text[-110:]}'


def _named(tree: PyTree) -> dict[str, Any]:
  """The leaves by path, without empty arrays, which orbax does not write."""
  leaves = jax.tree_util.tree_leaves_with_path(tree)
  return {
    jax.tree_util.keystr(path): leaf for path, leaf in leaves if leaf.size
  }


def _record(arrays: Mapping[str, np.ndarray]) -> dict[str, Any]:
  return {
    path: {
      'shape': list(array.shape),
      'dtype': str(array.dtype),
      'crc32': zlib.crc32(array.tobytes()),
    }
    for path, array in arrays.items()
  }


def _kind(array) -> str:
  return f'{array.dtype}{list(array.shape)}'


def _placed(arrays: Mapping[str, np.ndarray], template: PyTree) -> PyTree:
  def place(path, leaf):
    # An array that is not committed goes wherever others need it.
    bound = getattr(leaf, 'committed', True)
    sharding = getattr(leaf, 'sharding', None) if bound else None
    array = arrays.get(jax.tree_util.keystr(path))
    if array is None:
      array = np.zeros(leaf.shape, leaf.dtype)
    return jax.device_put(array, sharding)

  return jax.tree_util.tree_map_with_path(place, template)
