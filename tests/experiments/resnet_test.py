"""The learning rate of the experiments with residual networks."""

import pytest

from experiments import resnet


def test_rate_falls_to_zero_over_the_moves_of_the_generator():
  config = resnet.Config(steps=40, decay_steps=40, n_critic=4)
  rate = resnet.decayed(config, 0.5)
  assert [float(rate(move)) for move in (0, 5, 9, 10)] == pytest.approx(
    [0.5, 0.25, 0.05, 0]
  )


def test_rate_is_constant_without_decay():
  assert resnet.decayed(resnet.Config(decay_steps=0), 0.5) == 0.5


def test_a_rate_of_zero_before_the_last_step_is_refused():
  config = resnet.Config(steps=50, decay_steps=40)
  with pytest.raises(ValueError, match=r'--decay-steps=40 .* --steps=50'):
    resnet.decayed(config, 0.5)
