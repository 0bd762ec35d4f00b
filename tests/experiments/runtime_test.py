"""What a command sets of its process."""

import os
import platform
import resource
import subprocess
import sys

import jax
import pytest

from experiments import runtime

FLAG = '--xla_cpu_experimental_ynn_fusion_type'


@pytest.fixture
def flags(monkeypatch):
  """The variable's value after `tune`, from a value before."""

  def after(before=None, version=(0, 10, 2)):
    monkeypatch.setattr(jax, '__version_info__', version)
    monkeypatch.delenv('XLA_FLAGS', raising=False)
    if before is not None:
      monkeypatch.setenv('XLA_FLAGS', before)
    runtime.tune()
    return os.environ.get('XLA_FLAGS')

  return after


def test_convolutions_are_chosen_where_the_flag_is_known(flags):
  chosen = f'{FLAG}=-LIBRARY_FUSION_TYPE_INDIVIDUAL_CONVOLUTION'
  assert flags() == flags('', (0, 9, 0)) == chosen
  assert flags('--other=1') == f'--other=1 {chosen}'
  assert flags(version=(0, 8, 3)) is None
  assert flags('--other=1', (0, 13, 0)) == '--other=1'


def test_a_users_own_choice_stays(flags):
  assert flags(f'{FLAG}=') == f'{FLAG}='


def test_a_step_on_a_cpu_keeps_apart_what_is_made_twice(monkeypatch):
  (option,) = runtime.compiler_options(rematerialize=True).items()
  assert option == ('xla_disable_hlo_passes', 'cse_barrier_expander')
  assert not runtime.compiler_options(rematerialize=False)
  monkeypatch.setattr(jax, 'default_backend', lambda: 'gpu')
  assert not runtime.compiler_options(rematerialize=True)


# A convolution that either code computes, under the flag that `tune` chose.
TUNED = """
from experiments import runtime
runtime.tune()
import jax, jax.numpy as jnp
from jgan.convolutions import conv2d
operands = jnp.ones((8, 16, 16, 32)), jnp.ones((3, 3, 32, 32))
print('ynn' in jax.jit(conv2d).lower(*operands).compile().as_text())
"""


def test_xla_takes_the_flag():
  # Optimised as a command is, not as tests are.
  environment = {**os.environ, 'XLA_FLAGS': '', 'JAX_PLATFORMS': 'cpu'}
  told = subprocess.run(
    [sys.executable, '-c', TUNED],
    env=environment,
    capture_output=True,
    text=True,
  )
  assert told.stdout.strip() == 'False', told.stderr


@pytest.mark.skipif(
  platform.libc_ver()[0] != 'glibc', reason='memory of glibc alone is kept'
)
def test_freed_memory_is_taken_again_without_page_faults():
  runtime.tune()
  size = 48 << 20

  def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    bytearray(size)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

  faults()
  pages = size // resource.getpagesize()
  assert min(faults() for _ in range(3)) < pages / 10


def test_compiled_programs_go_to_the_users_cache(tmp_path):
  environment = {**os.environ, 'XDG_CACHE_HOME': str(tmp_path)}
  told = subprocess.run(
    [
      sys.executable,
      '-c',
      'from experiments import runtime; runtime.prepare(); '
      'import jax; jax.jit(lambda x: x + 1)(1.0)',
    ],
    env={**environment, 'JAX_PLATFORMS': 'cpu'},
    capture_output=True,
    text=True,
  )
  assert told.returncode == 0, told.stderr
  assert any((tmp_path / 'jgan').iterdir())
