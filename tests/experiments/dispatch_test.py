"""Which steps are one dispatch, and who moves in them."""

import pytest

import jgan
from experiments import config as configs
from experiments import dispatch
from experiments.errors import UserError


def test_dispatches_are_whole_cycles_and_end_when_something_is_due():
  def lengths(every, steps_per_dispatch, **often):
    player = jgan.Player('a', None, None, every)
    config = configs.Config(
      steps=20,
      batch_size=1,
      steps_per_dispatch=steps_per_dispatch,
      **often,
    )
    gan, step, found = jgan.GAN(None, (player,), None), 0, []
    while step < config.steps:
      found.append(len(dispatch.next_moves([gan], config, step)[0]))
      step += found[-1]
    return found

  assert lengths(1, 0) == lengths(3, 0) == [1] * 20  # on a CPU
  assert lengths(1, 8) == [8, 8, 1, 1, 1, 1]
  assert lengths(3, 4) == [3, 3, 3, 3, 3, 3, 1, 1]
  assert lengths(3, 2) == [1] * 20
  assert lengths(1, 8, log_every=10) == [8, 1, 1, 8, 1, 1]
  assert lengths(1, 6, evaluate_every=10) == [6, 1, 1, 1, 1] * 2
  phases = [7, 1, 1, 7, 1, 1, 1, 1]
  assert lengths(lambda step: step >= 9, 7) == phases
  moves = [(), (), ('a',)]
  gan = jgan.GAN(None, (jgan.Player('a', None, None, 3),), None)
  config = configs.Config(steps=20, batch_size=1, steps_per_dispatch=7)
  assert dispatch.next_moves([gan], config, 6) == (tuple(moves * 2),)


def test_gradients_of_their_own_kind_are_not_taken_in_parts():
  private = jgan.gradients.per_example(1.0, 1.0)
  player = jgan.Player('critic', None, None, gradient=private)
  with pytest.raises(UserError, match='the critic takes its gradients'):
    dispatch.in_parts(jgan.GAN(None, (player,), None), 2)


def test_steps_that_tell_who_moves_how_often():
  def player(every):
    return jgan.Player('a', None, None, every)

  assert dispatch.told_by([player(2), player(3)], 5, 100) == range(5, 11)
  assert dispatch.told_by([player(2), player(3)], 5, 9) == range(5, 9)
  phased = [player(2), player(lambda step: step < 40)]
  assert dispatch.told_by(phased, 5, 100) == range(5, 100)
