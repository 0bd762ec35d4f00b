"""Several processes that train one GAN, each with devices of its own.

All run the same loop on global arrays. The first alone writes: what the others
would write goes to a folder that is deleted, and what they print nowhere.
"""

import contextlib
import io
import itertools
import json
import os
import signal
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils
from jaxtyping import PyTree

from experiments import signals
from experiments.errors import UserError, reported

_ADDRESS = 'JAX_COORDINATOR_ADDRESS'
_COUNT, _NUMBER = 'JAX_NUM_PROCESSES', 'JAX_PROCESS_ID'
_ROOM = 2**16  # bytes of all flags, or of an error
_LONGEST = 4096  # characters of an error, which JSON may write as 12 bytes each


def join() -> None:
  """Joins this run's processes; must come before anything else asks of jax.

  With the variable JAX_COORDINATOR_ADDRESS (host:port of the first) also
  JAX_NUM_PROCESSES and JAX_PROCESS_ID must be set. Without it jax finds out by
  itself where it can: on TPU pods, and under Slurm, Open MPI and Kubernetes.

  Raises:
    UserError: the variables contradict, or jax finds nothing.
  """
  chosen = {}
  if address := os.environ.get(_ADDRESS):
    try:
      chosen = {
        'coordinator_address': address,
        'num_processes': int(os.environ[_COUNT]),
        'process_id': int(os.environ[_NUMBER]),
      }
    except (KeyError, ValueError) as error:
      raise UserError(
        f'--distributed: beside {_ADDRESS}={address}, {_COUNT} must be the '
        f'number of processes, and {_NUMBER} that of this one, from 0; got '
        f'{os.environ.get(_COUNT)} and {os.environ.get(_NUMBER)}'
      ) from error
  try:
    jax.distributed.initialize(**chosen)
  except (ValueError, RuntimeError) as error:
    raise UserError(
      f'--distributed: {error} Where jax does not find out by itself, set '
      f'{_ADDRESS}=host:port of the first process, {_COUNT} and {_NUMBER}'
    ) from error


@contextlib.contextmanager
def leaving_together() -> Iterator[None]:
  """Ends this process at once on an error, which it prints.

  Otherwise it would wait for the others at its exit, and they for it in their
  next step; without it jax ends them.
  """
  try:
    with reported():
      yield
  except SystemExit as stopped:
    if stopped.code != 2:
      raise  # they all stop
  except BaseException as error:
    traceback.print_exc()
    if isinstance(error, jax.errors.JaxRuntimeError):
      print(
        'error: jax failed as above; where it tells of a connection or a peer, '
        'another process has ended, and its output tells why. The same command '
        'in all goes on from the newest checkpoint',
        file=sys.stderr,
      )
  else:
    return
  sys.stdout.flush()
  sys.stderr.flush()
  os._exit(2)


def is_first() -> bool:
  """Whether this is the process that writes; so it is where it is alone."""
  return jax.process_index() == 0


@contextlib.contextmanager
def own_workdir(workdir: Path) -> Iterator[Path]:
  """The workdir for the first process; for others one that is deleted.

  What the others print meanwhile is dropped.
  """
  if is_first():
    yield workdir
    return
  with (
    tempfile.TemporaryDirectory() as folder,
    contextlib.redirect_stdout(io.StringIO()),
  ):
    yield Path(folder)


@contextlib.contextmanager
def stop_signals() -> Iterator[Callable[[], int]]:
  """As `signals.stop_signals`, such that all processes stop after one step.

  Among several a SIGTERM to any of them reaches all; Ctrl-C does what it does
  in Python, and does not save.
  """
  if jax.process_count() == 1:
    with signals.stop_signals() as stopped:
      yield stopped
    return
  asked = itertools.count()  # as often by each, as jax needs it

  def stopped():
    reached = multihost_utils.reached_preemption_sync_point(next(asked))
    return int(signal.SIGTERM) if reached else 0

  yield stopped


def from_first(tree: PyTree) -> PyTree:
  """The first process's arrays, on all; the others give arrays of the form."""
  if jax.process_count() == 1:
    return tree
  return multihost_utils.broadcast_one_to_all(jax.tree.map(np.asarray, tree))


def check_alike(flags: Mapping[str, Any]) -> None:
  """UserError, in all processes: one has other flags than the first.

  Of others jax would not know: each would play a game of its own, or wait for
  steps that never come.
  """
  if jax.process_count() == 1:
    return
  first, *others = _gathered(dict(flags))
  for number, own in enumerate(others, 1):
    lines = [
      f'  {name}: {first.get(name)!r} in 0, {own.get(name)!r} in {number}'
      for name in first | own
      if first.get(name) != own.get(name)
    ]
    if lines:
      raise UserError(
        '\n'.join([f'process {number} is not given what process 0 is:', *lines])
        + '\nRun the same command in all.'
      )


@contextlib.contextmanager
def failing_together() -> Iterator[None]:
  """Around what one process may fail in alone: reading its flags, its files.

  Otherwise the rest would wait for it, and jax end them without its reason.

  Raises:
    UserError: another failed; which one, and its error.
  """
  try:
    yield
  except SystemExit:
    _errors('its flags; it has printed which')
    raise
  except Exception as error:
    _errors(f'{error}' or type(error).__name__)
    raise
  for number, told in enumerate(_errors('')):
    if told:
      raise UserError(
        f'process {number} cannot go on, so all end. Its error: {told}'
      )


def _errors(own: str) -> list[str]:
  """Of each process its error, '' for none; of one alone nothing."""
  return _gathered(own[:_LONGEST]) if jax.process_count() > 1 else []


def _gathered(own: Any) -> list[Any]:
  """What each process gives, as JSON, in the order of their numbers."""
  text = json.dumps(own).encode().ljust(_ROOM)
  told = multihost_utils.process_allgather(np.frombuffer(text, np.uint8))
  return [json.loads(row.tobytes()) for row in told]


def check_first_has_run(file: Path) -> None:
  """UserError, in all processes: one has this file of the run, not the first.

  The first alone reads and writes the workdir, and would begin anew.
  """
  if jax.process_count() == 1:
    return
  first, *others = multihost_utils.process_allgather(
    np.array(os.path.exists(file))
  )
  if any(others) and not first:
    number = 1 + others.index(True)
    raise UserError(
      f'{file.parent} holds a run where process {number} is, and none where '
      'process 0 is, which reads and writes it; start that one where the run '
      'is, or move the run'
    )


def local(tree: PyTree) -> PyTree:
  """Arrays that every device holds, on the first device of this process."""
  return jax.tree.map(lambda x: x.addressable_data(0), tree)
