"""What steps spend their time on, by kind of work."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

torch = pytest.importorskip('torch')

import jgan  # noqa: E402
from experiments.benchmarks.pytorch import (  # noqa: E402
  comparison,
  dcgan,
  parity,
  profile,
  timing,
)
from experiments.errors import UserError  # noqa: E402

# In order: of a fusion, of a fusion of copies, and of an entry with a loop.
PROGRAM = """
HloModule jit_step

%fused_computation (p: f32[2,3], q: f32[3,2]) -> f32[2,2] {
  %p = f32[2,3]{1,0} parameter(0)
  %q = f32[3,2]{1,0} parameter(1)
  ROOT %dot.1 = f32[2,2]{1,0} dot(%p, %q), lhs_contracting_dims={1}
}

%fused_computation.1 (p.1: f32[2,3]) -> f32[3,2] {
  %p.1 = f32[2,3]{1,0} parameter(0)
  ROOT %transpose.1 = f32[3,2]{0,1} transpose(%p.1), dimensions={1,0}
}

ENTRY %main.5 (a: f32[2,3]) -> f32[2,2] {
  %a = f32[2,3]{1,0} parameter(0)
  %moved = f32[3,2]{0,1} fusion(%a), kind=kLoop, calls=%fused_computation.1
  %made = f32[2,2]{1,0} fusion(%a, %moved), kind=kCustom, calls=%fused_computation
  %add.1 = f32[2,2]{1,0} add(%made, %made), metadata={op_name="jit(step)/optimizer/add"}
  %while.1 = f32[2,2]{1,0} while(%add.1), condition=%c, body=%b
  ROOT %tanh.1 = f32[2,2]{1,0} tanh(%while.1)
}
"""  # noqa: E501


def test_each_operation_has_the_kind_of_what_is_in_it():
  kinds = profile.kinds_of_operations(PROGRAM)
  told = {name: kinds[name] for name in ('moved', 'made', 'add.1', 'tanh.1')}
  assert told == {
    'moved': 'copies',
    'made': 'products',
    'add.1': 'optimizers',
    'tanh.1': 'the rest',
  }
  assert 'while.1' not in kinds


def test_a_step_of_either_framework_has_time_of_each_kind():
  game = dcgan.small()
  gan = parity.with_optimizer(game.gan, optax.adam(1e-3))
  real = np.zeros(game.real, np.float32)
  batch, key = {'image': jnp.asarray(real)}, jax.random.key(0)
  state = jgan.init(gan, key, batch)
  program = timing.programs(gan, state, batch, key)
  cycle = comparison.cycle_of(gan)
  kinds = profile.kinds_of_operations(program(cycle[0]).as_text())
  assert {'convolutions', 'optimizers', 'the rest'} <= set(kinds.values())
  ours = profile.of_jgan(
    timing.jgan_turn(program, state, batch, key, cycle), kinds
  )
  modules = parity.copied(game, state)
  adam = {'foreach': True}
  theirs = profile.of_pytorch(
    timing.torch_turn(game, modules, adam, real, cycle)
  )
  for seconds in (ours, theirs):
    assert set(seconds) <= set(profile.KINDS)
    assert min(seconds[kind] for kind in ('convolutions', 'optimizers')) > 0


def test_a_game_that_is_not_there_is_told():
  with pytest.raises(UserError, match='--only: there are no games mpl'):
    profile.profile(['mpl'])
