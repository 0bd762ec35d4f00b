"""The process that a command runs in: what it sets before jax is first used."""

import ctypes
import os
import sys
from pathlib import Path

import jax

import jgan

# Numbers of glibc's malloc.h.
_TRIM_THRESHOLD, _MMAP_MAX = -1, -4
_NO_LIMIT = 2**31 - 1

# The versions of jaxlib that have the flag; another stops at a flag that it
# does not know.
_SINCE, _UNTIL = (0, 9), (0, 13)
_FLAG = '--xla_cpu_experimental_ynn_fusion_type'


def prepare() -> None:
  """Makes jax start and run quicker; to be called before anything is computed.

  Keeps compiled programs in the user's cache folder, for the next start, and
  tunes the process.
  """
  cache_compiled_programs()
  tune()


def cache_compiled_programs() -> None:
  """Keeps compiled programs in a folder of the user's, where none is chosen."""
  if jax.config.jax_compilation_cache_dir is None:
    caches = os.environ.get('XDG_CACHE_HOME') or Path.home() / '.cache'
    jax.config.update('jax_compilation_cache_dir', str(Path(caches, 'jgan')))
    jax.config.update('jax_persistent_cache_min_compile_time_secs', 0)


def tune() -> None:
  """Makes steps on CPUs quicker; to be called before anything is computed.

  Freed memory stays in the process, and XLA's older code computes convolutions.
  """
  _keep_freed_memory()
  _choose_convolutions()


def compiler_options(rematerialize: bool) -> dict[str, str]:
  """What a step is compiled with.

  Args:
    rematerialize: activations are computed again.
  """
  if rematerialize and jax.default_backend() == 'cpu':
    return jgan.rematerialization.COMPILER_OPTIONS
  return {}


def _keep_freed_memory():
  """Lets glibc give no memory back to the system that a step will take again.

  XLA frees the intermediate arrays of a program after each run. By default that
  unmaps large ones, and the next run gets each page of them anew, zeroed. So it
  still is with those of more than 64 MB, too large for the heap of a thread;
  one heap for all would keep them, but is slower where arrays are many.
  """
  if sys.platform != 'linux':
    return
  mallopt = getattr(ctypes.CDLL(None), 'mallopt', None)  # musl has none
  if mallopt is not None:
    mallopt(_MMAP_MAX, 0)
    mallopt(_TRIM_THRESHOLD, _NO_LIMIT)


def _choose_convolutions():
  """Lets XLA compute convolutions on CPUs by Eigen in place of YNNPACK.

  Which from jaxlib 0.9 on is the default, and slower; matrix products and sums,
  at which it is not, stay with it. A flag of the user's own wins.
  """
  flags = os.environ.get('XLA_FLAGS', '')
  if _SINCE <= jax.__version_info__ < _UNTIL and _FLAG not in flags:
    chosen = f'{_FLAG}=-LIBRARY_FUSION_TYPE_INDIVIDUAL_CONVOLUTION'
    os.environ['XLA_FLAGS'] = f'{flags} {chosen}'.strip()
