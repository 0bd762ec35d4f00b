"""Schedules against hand-computed values."""

import jax
import jax.numpy as jnp
import pytest

from jgan import schedules


def test_weight_halves_in_a_half_life():
  decay = schedules.ema_half_life(1000, batch_size=50)
  assert float(decay(jnp.int32(7))) ** 20 == pytest.approx(0.5, rel=1e-5)


def test_moves_of_several_steps_count_all_their_images():
  decay = schedules.ema_half_life(1000, batch_size=10, n_critic=5)
  assert float(decay(jnp.int32(4))) ** 20 == pytest.approx(0.5, rel=1e-5)


def test_ramp_up_shortens_the_half_life_of_the_first_steps():
  decay = schedules.ema_half_life(1000, batch_size=10, ramp_up=0.1)
  # After 20 steps 200 images were seen, and the half-life is 20 of them.
  assert float(decay(jnp.int32(19))) == pytest.approx(0.5**0.5, rel=1e-5)
  late = schedules.ema_half_life(1000, batch_size=10)
  assert float(decay(jnp.int32(2000))) == float(late(jnp.int32(2000)))


def test_a_traced_step_needs_no_dtype_promotion():
  decay = schedules.ema_half_life(1000, batch_size=10, ramp_up=0.1)
  with jax.numpy_dtype_promotion('strict'):
    assert float(decay(jnp.int32(19))) == float(decay(19))


@pytest.mark.parametrize(
  'wrong',
  [
    {'images': 0},
    {'batch_size': -1},
    {'ramp_up': -0.1},
    {'ramp_up': 0.0},
    {'ramp_up': float('nan')},
  ],
)
def test_what_is_not_positive_is_refused(wrong):
  with pytest.raises(ValueError, match='needs positive arguments'):
    schedules.ema_half_life(**{'images': 10, 'batch_size': 2, **wrong})


def test_cosine_goes_from_one_value_to_the_other_and_stays():
  value = schedules.cosine(2.0, 1.0, 100)
  at = [float(value(jnp.int32(step))) for step in (0, 50, 100, 1000)]
  assert at == pytest.approx([2, 1.5, 1, 1])
  assert float(value(25)) == pytest.approx(1 + (1 + 0.5**0.5) / 2)


def test_a_cosine_of_no_steps_is_refused():
  with pytest.raises(ValueError, match='at least one step, got steps=0'):
    schedules.cosine(2.0, 1.0, 0)
