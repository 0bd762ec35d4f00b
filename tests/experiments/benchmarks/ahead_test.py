"""Steps compiled for chips that are not here."""

import subprocess
import sys

import pytest

from experiments.benchmarks import ahead
from experiments.errors import UserError


@pytest.mark.slow
@pytest.mark.parametrize('chip', ahead.CHIPS)
def test_a_step_is_whole_on_one_and_divided_over_four(chip):
  if not ahead.installed(ahead.CHIPS[chip]):
    pytest.skip(f'no compiler for {chip} is installed')
  # A process of its own: jax takes the compilers for chips when it starts.
  words = 'experiments.benchmark', 'ahead', '--only', 'digits', f'--chip={chip}'
  run = subprocess.run(
    [sys.executable, '-m', *words], capture_output=True, text=True
  )
  assert run.returncode == 0, run.stderr
  name, *cells = run.stdout.splitlines()[-1].strip('| ').split(' | ')
  assert name == 'digits'
  _, over, _, again, _, divided, _, sums, _ = map(float, cells)
  assert 0.95 < over < 1.05
  assert again > over
  assert 0.95 < divided < 1.05
  assert sums > 0


def test_a_chip_that_is_not_known_is_told():
  with pytest.raises(UserError, match='--chip: there is no h1, but h100, a100'):
    ahead.ahead((), 'h1', False)


def test_a_step_that_is_not_known_is_told():
  with pytest.raises(UserError, match='--only: there are no steps dcgan; the'):
    ahead.ahead(('dcgan',), 'h100', False)


def test_without_a_compiler_it_says_what_to_install():
  chip = ahead.CHIPS['h100']._replace(compilers=('no_such_compiler',))
  with pytest.raises(UserError, match=r'no_such_comp.* "jgan\[cuda\]"'):
    ahead.described(chip)
