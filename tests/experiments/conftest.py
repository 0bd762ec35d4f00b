"""What the tests of commands share."""

import jax
import pytest


@pytest.fixture(scope='module')
def one_device():
  """The loop takes all devices; tests that use this want it on one."""
  devices, cache = jax.devices, jax.config.jax_compilation_cache_dir
  jax.devices = lambda *args: devices(*args)[:1]
  yield
  jax.devices = devices
  jax.config.update('jax_compilation_cache_dir', cache)
