"""Strict JAX for every test: eight fake devices, no silent broadcasting."""

import gc
import os

import jax

# Compiling is most of the tests' time, and shortest at the lowest level, each
# program in one piece and, as long as XLA knows of it, by the older way of
# fusing. The variable reaches the commands that tests start as well. Flags of
# one's own come after these, and win:
# XLA_FLAGS=--xla_backend_optimization_level=3 make test
_FLAGS = [
  '--xla_backend_optimization_level=0',
  '--xla_cpu_parallel_codegen_split_count=1',
]
if jax.__version_info__ < (0, 11):
  _FLAGS.append('--xla_cpu_use_fusion_emitters=false')
os.environ['XLA_FLAGS'] = ' '.join([*_FLAGS, os.environ.get('XLA_FLAGS', '')])
jax.config.update('jax_num_cpu_devices', 8)
jax.config.update('jax_numpy_rank_promotion', 'raise')
jax.config.update('jax_debug_key_reuse', True)

# Tracing makes a great many objects, and little of it is garbage: by default
# they are looked through at every 700th.
gc.set_threshold(100_000, 10, 10)
