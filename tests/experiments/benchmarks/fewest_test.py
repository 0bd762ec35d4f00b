"""The fewest FLOPs of a step, by hand, and the table of them."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax
import pytest

import jgan
from experiments import data, train
from experiments.benchmarks import fewest, flops


class Generator(nn.Module):
  @nn.compact
  def __call__(self, latent, label, *, train):
    return nn.Dense(4)(latent)


class Discriminator(nn.Module):
  @nn.compact
  def __call__(self, sample, label, *, train):
    return nn.Dense(1)(nn.relu(nn.Dense(6)(sample)))[:, 0]


def make(**options):
  return jgan.standard_gan(
    Generator(),
    Discriminator(),
    loss=jgan.losses.non_saturating,
    generator_optimizer=optax.sgd(0.1),
    discriminator_optimizer=optax.sgd(0.1),
    latent=jgan.latents.normal(3),
    data='x',
    **options,
  )


BATCH = {'x': jax.ShapeDtypeStruct((5, 4), jnp.float32)}
# Of 5 examples: the generator's forward; the discriminator's, and back to its
# kernels, whose gradients sum over examples. A sum of one term is no product.
GENERATE = 2 * 5 * 4 * 3
JUDGE = 2 * 5 * 6 * 4 + 2 * 5 * 6
TO_PARAMS = 2 * 4 * 6 * 5 + 2 * 6 * 5
TO_INPUT = 2 * 5 * 4 * 6
THROUGH_GENERATOR = 2 * 3 * 4 * 5
DISCRIMINATOR = 2 * JUDGE + 2 * TO_PARAMS
GENERATOR = JUDGE + TO_INPUT + THROUGH_GENERATOR


@pytest.mark.parametrize(
  ('moves', 'expected'),
  [
    (('discriminator',), GENERATE + DISCRIMINATOR),
    (('generator',), GENERATE + GENERATOR),
    (('discriminator', 'generator'), GENERATE + DISCRIMINATOR + GENERATOR),
  ],
)
def test_the_fewest_by_hand(moves, expected):
  gan = make()
  assert fewest.fewest(gan, BATCH, moves) == expected
  text = fewest.step_program(gan, BATCH, moves).as_text()
  assert flops.compiled(text) == expected


def test_a_lazy_penalty_is_counted_in_its_own_move():
  # R1 of a linear critic of reals: the slope is a product of two kernels with
  # the activations' slopes between, one forward and one back.
  def penalty(critic, real, fake, keys):
    return jgan.penalties.r1(critic, real)

  moves = 'discriminator', 'penalty', 'generator'
  lazy = make(penalty=penalty, penalty_every=4)
  of_all, of_two = (fewest.fewest(lazy, BATCH, x) for x in (moves, moves[::2]))
  assert of_two == GENERATE + DISCRIMINATOR + GENERATOR
  alone = fewest.fewest(lazy, BATCH, ('penalty',))
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
