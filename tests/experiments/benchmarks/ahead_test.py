"""Steps compiled for chips that are not here."""

import functools

import jax
import jax.numpy as jnp
import pytest

from experiments.benchmarks import ahead
from experiments.errors import UserError
from jgan import models


def devices(chip):
  try:
    return ahead.described(ahead.CHIPS[chip])
  except UserError as error:
    pytest.skip(str(error))


@pytest.mark.parametrize('chip', ahead.CHIPS)
def test_a_step_is_whole_on_one_and_divided_over_four(chip):
  chips = devices(chip)
  gan = models.dcgan(16, width=8)
  batch = {
    'image': jax.ShapeDtypeStruct((8, 16, 16, 1), jnp.float32),
    'index': jax.ShapeDtypeStruct((8,), jnp.int32),
  }
  compiled = functools.partial(ahead.compiled, gan, batch, ahead.CHIPS[chip])
  one, four = compiled(chips[:1]), compiled(chips)
  assert one.flop > 0
  assert 4 * four.flop == pytest.approx(one.flop, rel=0.05)
  assert one.sums == 0
  assert four.sums > 0


def test_a_chip_that_is_not_known_is_told():
  with pytest.raises(UserError, match='--chip: there is no h1, but h100, a100'):
    ahead.ahead((), 'h1', False)


def test_a_step_that_is_not_known_is_told():
  with pytest.raises(UserError, match='--only: there are no steps dcgan; the'):
    ahead.ahead(('dcgan',), 'h100', False)


def test_without_a_compiler_it_says_what_to_install(monkeypatch):
  def missing(**described):
    raise NotImplementedError('topology not implemented for cuda')

  monkeypatch.setattr(ahead.topologies, 'get_topology_desc', missing)
  with pytest.raises(UserError, match=r'for cuda\). Run: pip .*"jgan\[cuda\]"'):
    ahead.described(ahead.CHIPS['h100'])
