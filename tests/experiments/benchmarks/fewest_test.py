"""The fewest FLOPs of a step, by hand, and the table of them."""

import pytest
from perceptrons import (
  DISCRIMINATOR,
  FORM,
  GENERATE,
  GENERATOR,
  game,
)

import jgan
from experiments import data, train
from experiments.benchmarks import fewest, flops


@pytest.mark.parametrize(
  ('moves', 'expected'),
  [
    (('discriminator',), GENERATE + DISCRIMINATOR),
    (('generator',), GENERATE + GENERATOR),
    (('discriminator', 'generator'), GENERATE + DISCRIMINATOR + GENERATOR),
  ],
)
def test_the_fewest_by_hand(moves, expected):
  gan = game()
  assert fewest.fewest(gan, FORM, moves) == expected
  text = fewest.step_program(gan, FORM, moves).as_text()
  assert flops.compiled(text) == expected


def test_a_lazy_penalty_is_counted_in_its_own_move():
  # R1 of a linear critic of reals: the slope is a product of two kernels with
  # the activations' slopes between, one forward and one back.
  def penalty(critic, real, fake, keys):
    return jgan.penalties.r1(critic, real)

  moves = 'discriminator', 'penalty', 'generator'
  lazy = game(penalty=penalty, penalty_every=4)
  of_all, of_two = (fewest.fewest(lazy, FORM, x) for x in (moves, moves[::2]))
  assert of_two == GENERATE + DISCRIMINATOR + GENERATOR
  alone = fewest.fewest(lazy, FORM, ('penalty',))
  assert of_all == of_two + alone
  assert fewest.patterns(lazy) == {moves: 1, moves[::2]: 3}


def test_every_experiment_has_a_row_or_a_reason():
  left_out = [name for names in fewest.LEFT_OUT.values() for name in names]
  assert sorted([*fewest.SHAPES, *left_out]) == sorted(train.EXPERIMENTS)
  assert set(fewest.SMALLER) <= set(fewest.SHAPES)


def test_a_game_has_the_form_of_its_data():
  gan, form = fewest.game('digits', {'batch_size': 6})
  assert [player.name for player in gan.players] == [
    'discriminator',
    'generator',
  ]
  source = train.EXPERIMENTS['digits'].make_data(None)
  batch = data.to_float(data.batch(source, 0, 0, 6))
  assert {name: (x.shape, x.dtype) for name, x in form.items()} == {
    name: (x.shape, x.dtype) for name, x in batch.items()
  }


def test_the_table_tells_what_is_smaller(monkeypatch):
  monkeypatch.setattr(fewest, 'SHAPES', {'digits': (32, 32, 1)})
  numbers = {'width': 4, 'batch_size': 4}
  monkeypatch.setattr(fewest, 'SMALLER', {'digits': numbers})
  monkeypatch.setattr(fewest, 'LEFT_OUT', {'no reason': ('text', 'table')})
  _, row, smaller, left_out = fewest.table().splitlines()
  name, _, _, ratio, with_all = row.split()
  assert (name, ratio) == ('digits', '1.0000')
  assert float(with_all) > 1
  assert smaller == 'digits is by --width=4 --batch-size=4'
  assert left_out == 'no row, no reason: text, table'
