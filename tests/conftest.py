"""Strict JAX for every test: eight fake devices, no silent broadcasting."""

import os

import jax

# Compiling is most of the tests' time, and shortest at the lowest level; the
# variable reaches the commands that tests start as well. Flags of one's own
# come after it, and win: XLA_FLAGS=--xla_backend_optimization_level=3 make test
os.environ['XLA_FLAGS'] = (
  f'--xla_backend_optimization_level=0 {os.environ.get("XLA_FLAGS", "")}'
)
jax.config.update('jax_num_cpu_devices', 8)
jax.config.update('jax_numpy_rank_promotion', 'raise')
jax.config.update('jax_debug_key_reuse', True)
