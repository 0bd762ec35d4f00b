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

_CONVOLUTIONS = '--xla_cpu_experimental_ynn_fusion_type'
_IN_PLACE = '--xla_cpu_copy_insertion_use_region_analysis'
# By flag, the first version of jaxlib that has it, and its value. Others stop
# at a flag that they do not know; versions from `_UNTIL` on were not tried.
_CHOSEN = {
  _CONVOLUTIONS: ((0, 9), '-LIBRARY_FUSION_TYPE_INDIVIDUAL_CONVOLUTION'),
  _IN_PLACE: ((0, 7), 'true'),
}
_UNTIL = (0, 13)


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

  Freed memory stays in the process, XLA's older code computes convolutions, and
  optimizers update more of the donated state in its place.
  """
  _keep_freed_memory()
  _choose_flags()


def compiler_options() -> dict[str, str]:
  """What a step is compiled with: on CPUs, so that XLA keeps its barriers."""
  if jax.default_backend() == 'cpu':
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


def _choose_flags():
  """Sets flags of XLA's CPU backend; those of the user's own win.

  From jaxlib 0.9 on YNNPACK computes convolutions, and slower than Eigen, the
  older code; matrix products and sums, at which it is not, stay with it. And of
  a donated param and its moments, which Adam reads together and writes one by
  one, XLA copies some first, unless it looks closer at which are still needed.
  """
  flags = os.environ.get('XLA_FLAGS', '')
  for flag, (since, value) in _CHOSEN.items():
    if since <= jax.__version_info__ < _UNTIL and flag not in flags:
      flags = f'{flags} {flag}={value}'.strip()
  os.environ['XLA_FLAGS'] = flags
