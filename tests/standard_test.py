"""The standard game, with modules small enough to follow by hand."""

import functools
import itertools
from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp
import jaxtyping
import numpy as np
import optax
import pytest
from games import assert_close
from jax.sharding import PartitionSpec as P

import jgan
from experiments.benchmarks import flops

N = 4
X, Z = np.random.default_rng(0).normal(size=(2, N, 3)).astype('float32')
W = np.random.default_rng(1).normal(size=(3, 3)).astype('float32')
V = np.array([2.0, -1.0, 2.0], 'float32')
LABEL = np.array([1, 0, 2, 1])
VARIABLES = {
  'generator': {'params': {'Dense_0': {'kernel': jnp.asarray(W)}}},
  'discriminator': {'params': {'Dense_0': {'kernel': jnp.asarray(V[:, None])}}},
}


class Generator(nn.Module):
  """z W, and the label added to every entry."""

  @nn.compact
  def __call__(self, latent, label, *, train):
    y = nn.Dense(3, use_bias=False)(latent)
    return y if label is None else y + label[:, None]


class Discriminator(nn.Module):
  """x v, and ten for each unit of the label."""

  @nn.compact
  def __call__(self, sample, label, *, train):
    logits = nn.Dense(1, use_bias=False)(sample)[:, 0]
    return logits if label is None else logits + 10 * label


class Mirror(nn.Module):
  """A discriminator that shows what it was given."""

  @nn.compact
  def __call__(self, sample, label, *, train):
    logits = sample.reshape(sample.shape[0], -1).sum(1)
    return {'logits': logits, 'sample': sample, 'label': label}


def game(generator=None, discriminator=None, **options):
  options = {
    'loss': jgan.losses.wasserstein,
    'generator_optimizer': optax.sgd(0.1),
    'discriminator_optimizer': optax.sgd(0.1),
    'latent': jgan.latents.normal(3),
    'data': 'x',
    **options,
  }
  return jgan.standard_gan(
    generator or Generator(), discriminator or Discriminator(), **options
  )


def key():
  return jax.random.key(11)


def batch(**more):
  return jax.tree.map(jnp.asarray, {'x': X, 'latent': Z, **more})


def player(gan, label):
  return {p.label: p for p in gan.players}[label]


def output(gan, label, batch, variables=None):
  """The loss of one move, outside of any transformation."""
  loss = player(gan, label).loss
  return loss(variables or VARIABLES, batch, key(), jnp.int32(0))


def move(gan, label, batch, variables=None):
  variables = variables or VARIABLES
  state = jgan.init(gan, key(), batch, variables)
  mover = player(gan, label)
  return jax.jit(lambda *args: jgan.update(mover, *args))(state, batch, key())


def kernels(state):
  return [
    np.asarray(state.variables[name]['params']['Dense_0']['kernel'])
    for name in ('generator', 'discriminator')
  ]


def softplus(x):
  return np.log1p(np.exp(x))


def test_discriminators_metrics():
  gan = game(loss=jgan.losses.non_saturating)
  _, metrics = move(gan, 'discriminator', batch())
  real, fake = X @ V, Z @ W @ V
  loss = softplus(-real).mean() + softplus(fake).mean()
  slope = X.T @ (1 / (1 + np.exp(-real)) - 1) + Z.dot(W).T @ (
    1 / (1 + np.exp(-fake))
  )
  expected = {
    'loss': loss,
    'adversarial': loss,
    'real_logits': real.mean(),
    'fake_logits': fake.mean(),
    'accuracy': (real > fake).mean(),
    'gradient_norm': np.linalg.norm(slope / N),
  }
  assert {k: float(v) for k, v in metrics.items()} == pytest.approx(
    expected, rel=1e-4
  )


def test_generators_metrics():
  gan = game(loss=jgan.losses.non_saturating)
  _, metrics = move(gan, 'generator', batch())
  fake = Z @ W @ V
  slope = Z.T @ np.outer(1 / (1 + np.exp(-fake)) - 1, V) / N
  loss = softplus(-fake).mean()
  expected = {
    'loss': loss,
    'adversarial': loss,
    'gradient_norm': np.linalg.norm(slope),
  }
  assert {k: float(v) for k, v in metrics.items()} == pytest.approx(
    expected, rel=1e-4
  )


def test_each_move_moves_its_own_player_alone():
  state, _ = move(game(), 'discriminator', batch())
  w, v = kernels(state)
  np.testing.assert_array_equal(w, W)
  slope = (Z @ W - X).mean(0)
  np.testing.assert_allclose(v[:, 0], V - 0.1 * slope, rtol=1e-5)
  state, _ = move(game(), 'generator', batch())
  w, v = kernels(state)
  np.testing.assert_array_equal(v[:, 0], V)
  np.testing.assert_allclose(
    w, W + 0.1 * np.outer(Z.mean(0), V), rtol=1e-5, atol=1e-6
  )


def test_average_is_of_the_generator():
  gan = game(ema_decay=0.5)
  state = jgan.init(gan, key(), batch(), VARIABLES)
  assert list(state.ema_params) == ['generator']
  state, _ = jgan.train_step(gan, state, batch(), key())
  # At step 0 the decay is capped at 1 / 10.
  expected = 0.9 * kernels(state)[0] + 0.1 * W
  np.testing.assert_allclose(
    state.ema_params['generator']['Dense_0']['kernel'], expected, rtol=1e-5
  )


def test_labels_reach_both_players():
  got = output(game(), 'discriminator', batch(label=LABEL)).metrics
  fake = (Z @ W + LABEL[:, None]) @ V + 10 * LABEL
  assert float(got['real_logits']) == pytest.approx(
    (X @ V + 10 * LABEL).mean(), rel=1e-5
  )
  assert float(got['fake_logits']) == pytest.approx(fake.mean(), rel=1e-5)
  sampled = game().sample(VARIABLES, batch(label=LABEL), key())
  np.testing.assert_allclose(sampled, Z @ W + LABEL[:, None], rtol=1e-4)


def recorder(record, generator_term=0.0, discriminator_term=0.0):
  """An auxiliary term that keeps what it was given."""

  def auxiliary(real, fake, latent, batch):
    record.append({'real': real, 'fake': fake, 'latent': latent})
    return jnp.full(2, generator_term), jnp.full(2, discriminator_term)

  return auxiliary


def test_latents_are_drawn_by_number_and_the_same_for_both_players():
  record = []
  gan = game(auxiliary=recorder(record))
  for label, index in (
    ('discriminator', [0, 1, 2, 3]),
    ('generator', [0, 1, 2, 3]),
    ('generator', [3, 2, 1, 9]),
  ):
    output(gan, label, {'x': jnp.asarray(X), 'index': jnp.array(index)})
  first, same, other = (np.asarray(r['latent']) for r in record)
  np.testing.assert_array_equal(first, same)
  np.testing.assert_array_equal(other[:3], first[:0:-1])
  assert not np.allclose(other[3], first[0])
  assert len(np.unique(first)) == first.size


def test_latents_of_the_batch_replace_the_draw():
  record = []
  gan = game(auxiliary=recorder(record))
  output(gan, 'generator', batch())
  np.testing.assert_array_equal(record[0]['latent'], Z)
  sampled = gan.sample(VARIABLES, {'latent': jnp.asarray(Z)}, key())
  np.testing.assert_allclose(sampled, Z @ W, rtol=1e-4)


def test_auxiliary_terms_are_added():
  record = []
  gan = game(discriminator=Mirror(), auxiliary=recorder(record, 3.0, 5.0))
  for label, term in (('generator', 3.0), ('discriminator', 5.0)):
    loss, _, metrics = output(gan, label, batch(label=LABEL))
    assert float(metrics['auxiliary']) == term
    assert float(loss) == pytest.approx(float(metrics['adversarial']) + term)
  for given in record:
    np.testing.assert_array_equal(given['real']['sample'], X)
    np.testing.assert_allclose(
      given['fake']['sample'], Z @ W + LABEL[:, None], rtol=1e-4
    )
    np.testing.assert_array_equal(given['fake']['label'], LABEL)


def gradient_size(critic, real, fake, keys):
  return 5 * jgan.penalties.r1(critic, real)


def test_penalty_is_added_with_its_weight():
  state, metrics = move(game(penalty=gradient_size), 'discriminator', batch())
  assert float(metrics['penalty']) == pytest.approx(45)  # |v| is 3
  assert float(metrics['loss']) == pytest.approx(
    float(metrics['adversarial']) + 45, rel=1e-5
  )
  slope = (Z @ W - X).mean(0) + 10 * V
  np.testing.assert_allclose(
    kernels(state)[1][:, 0], V - 0.1 * slope, rtol=1e-4
  )


def test_weight_of_the_penalty_may_follow_the_step():
  gan = game(
    penalty=lambda critic, real, fake, keys: jgan.penalties.r1(critic, real),
    penalty_weight=lambda step: 2.0**step,
  )
  loss = player(gan, 'discriminator').loss
  told = loss(VARIABLES, batch(), key(), jnp.int32(3)).metrics
  assert float(told['penalty']) == pytest.approx(8 * float((V**2).sum()))


def test_penalty_sees_what_the_discriminator_sees():
  given = {}

  def penalty(critic, real, fake, keys):
    given.update(real=real, fake=fake, keys=keys, logits=critic(real))
    return jnp.zeros(len(keys))

  gan = game(penalty=penalty, augment=lambda x, keys: 2 * x)
  output(gan, 'discriminator', batch(label=LABEL))
  np.testing.assert_allclose(given['real'], 2 * X)
  np.testing.assert_allclose(
    given['fake'], 2 * (Z @ W + LABEL[:, None]), rtol=1e-4
  )
  np.testing.assert_allclose(given['logits'], 2 * X @ V + 10 * LABEL, rtol=1e-5)
  assert len(np.unique(jax.random.key_data(given['keys']), axis=0)) == N


def test_lazy_penalty_is_a_heavier_move_of_the_same_player():
  gan = game(
    penalty=gradient_size,
    penalty_every=4,
    discriminator_optimizer=optax.sgd(0.1, momentum=0.9),
  )
  assert [jgan.moves(gan, step) for step in (0, 3)] == [
    ('discriminator', 'generator'),
    ('discriminator', 'penalty', 'generator'),
  ]
  main = output(gan, 'discriminator', batch())
  assert 'penalty' not in main.metrics
  assert float(main.loss) == pytest.approx(float(main.metrics['adversarial']))
  state, metrics = move(gan, 'penalty', batch())
  assert float(metrics['penalty']) == pytest.approx(45)
  assert float(metrics['loss']) == pytest.approx(4 * 45)
  np.testing.assert_allclose(
    kernels(state)[1][:, 0], V - 0.1 * 4 * 10 * V, rtol=1e-5
  )
  assert sorted(state.opt_state) == ['discriminator', 'generator']
  # The main move goes on with the momentum that the penalty left.
  mover = player(gan, 'discriminator')
  after, _ = jgan.update(mover, state, batch(), key())
  pace = 0.9 * 40 * V + (Z @ W - X).mean(0)
  np.testing.assert_allclose(
    kernels(after)[1][:, 0], V - 4 * V - 0.1 * pace, rtol=1e-4
  )


def test_penalty_every_no_step_is_refused():
  gan = game(penalty=lambda *arguments: X[:, 0], penalty_every=0)
  with pytest.raises(ValueError, match=r"'penalty' moves every.*got 0"):
    jgan.init(gan, key(), batch())


def test_critic_moves_more_often():
  gan = game(n_critic=3)
  assert [len(jgan.moves(gan, step)) for step in range(6)] == [1, 1, 2] * 2
  assert jgan.moves(gan, 0) == ('discriminator',)


class Pictures(nn.Module):
  @nn.compact
  def __call__(self, latent, label, *, train):
    return nn.Dense(12)(latent).reshape(-1, 2, 2, 3)


def test_packs_are_judged_together():
  record = []
  gan = game(
    Pictures(),
    Mirror(),
    data='image',
    pack=2,
    auxiliary=recorder(record),
    penalty=lambda critic, real, fake, keys: critic(real) * len(keys),
  )
  image = jnp.arange(6 * 12.0).reshape(6, 2, 2, 3)
  given = {'image': image, 'label': jnp.array([0, 1, 2, 3, 4, 5])}
  _, _, metrics = output(gan, 'discriminator', given, gan.init(key(), given))
  real = record[0]['real']
  assert real['sample'].shape == record[0]['fake']['sample'].shape
  assert real['logits'].shape == (3,)
  np.testing.assert_array_equal(
    real['sample'], jnp.concatenate([image[::2], image[1::2]], -1)
  )
  np.testing.assert_array_equal(real['label'], [[0, 1], [2, 3], [4, 5]])
  expected = 3 * image.reshape(3, -1).sum(1).mean()  # three packs, three keys
  assert float(metrics['penalty']) == pytest.approx(float(expected))


def test_packs_of_flat_samples_are_longer_samples():
  record = []
  gan = game(discriminator=Mirror(), pack=2, auxiliary=recorder(record))
  output(gan, 'generator', batch())
  np.testing.assert_array_equal(record[0]['real']['sample'], X.reshape(2, 6))


def test_batch_that_does_not_divide_into_packs_is_refused():
  gan = game(pack=3)
  message = r'standard_gan: a batch of 4 does not divide into packs of 3'
  with pytest.raises(ValueError, match=message):
    jgan.init(gan, key(), batch(label=LABEL))


class Normalised(nn.Module):
  """The first entry, normalised; statistics are the last batch's."""

  @nn.compact
  def __call__(self, sample, label, *, train):
    norm = jgan.layers.BatchNorm(momentum=0.0, epsilon=0.0)
    y = norm(sample[:, :1], use_running_average=not train)
    calls = self.variable('calls', 'n', lambda: jnp.array(0))
    calls.value = calls.value + 1
    return y[:, 0]


@pytest.mark.parametrize('joint', [True, False])
def test_joint_or_separate_batch_statistics(joint):
  record = []
  gan = game(
    discriminator=Normalised(), joint=joint, auxiliary=recorder(record)
  )
  variables = {
    **VARIABLES,
    'discriminator': gan.init(key(), batch())['discriminator'],
  }
  _, mutated, _ = output(gan, 'discriminator', batch(), variables)
  real, fake = np.float64(X[:, 0]), np.float64((Z @ W)[:, 0])
  both = np.concatenate([real, fake])
  stats = mutated['batch_stats']['BatchNorm_0']
  var = both.var() if joint else (real.var() + fake.var()) / 2
  np.testing.assert_allclose(stats['mean'], [both.mean()], rtol=1e-4)
  np.testing.assert_allclose(stats['var'], [var], rtol=1e-4)
  seen = both if joint else real
  np.testing.assert_allclose(
    record[0]['real']['logits'], (real - seen.mean()) / seen.std(), rtol=1e-3
  )
  # Counted at init, and once in a move.
  assert int(mutated['calls']['n']) == 2
  assert 'params' not in mutated


def test_joint_in_the_generators_move_shares_batch_statistics():
  record = []
  gan = game(discriminator=Normalised(), joint=True, auxiliary=recorder(record))
  variables = {
    **VARIABLES,
    'discriminator': gan.init(key(), batch())['discriminator'],
  }
  output(gan, 'generator', batch(), variables)
  real, fake = np.float64(X[:, 0]), np.float64((Z @ W)[:, 0])
  both = np.concatenate([real, fake])
  np.testing.assert_allclose(
    record[0]['fake']['logits'], (fake - both.mean()) / both.std(), rtol=1e-3
  )


@pytest.mark.parametrize('pack', [1, 2])
def test_one_call_is_two_where_examples_are_judged_apart(pack):
  record = []
  for joint in [True, False]:
    gan = game(
      discriminator=Mirror(),
      joint=joint,
      pack=pack,
      auxiliary=recorder(record),
    )
    output(gan, 'discriminator', batch(label=LABEL))
  assert_close(record[0], record[1])


@pytest.mark.parametrize('label', ['discriminator', 'generator'])
def test_one_call_costs_no_more_than_two(label):
  def counted(joint):
    gan = game(joint=joint, loss=jgan.losses.non_saturating)
    state = jgan.init(gan, key(), batch())
    update = functools.partial(jgan.update, player(gan, label))
    return flops.compiled(
      jax.jit(update).lower(state, batch(), key()).compile().as_text()
    )

  assert counted(True) == counted(False) > 0


def test_generators_move_returns_nothing_of_the_discriminator():
  gan = game(discriminator=Normalised())
  variables = {
    **VARIABLES,
    'discriminator': gan.init(key(), batch())['discriminator'],
  }
  assert not output(gan, 'generator', batch(), variables).mutated


def test_augmentation_draws_for_each_sample_of_each_kind_in_each_move():
  record = []

  def augment(samples, keys):
    return jax.vmap(lambda k: jax.random.normal(k, (3,)))(keys)

  gan = game(
    discriminator=Mirror(), augment=augment, auxiliary=recorder(record)
  )
  output(gan, 'discriminator', batch())
  output(gan, 'generator', batch())
  seen = [m[kind]['sample'] for m in record for kind in ('real', 'fake')]
  assert len(np.unique(seen)) == 4 * N * 3


def test_generator_learns_through_the_augmentation():
  gan = game(augment=lambda samples, keys: 3 * samples)
  state, _ = move(gan, 'generator', batch())
  np.testing.assert_allclose(
    kernels(state)[0],
    W + 0.1 * 3 * np.outer(Z.mean(0), V),
    rtol=1e-5,
    atol=1e-6,
  )


def counting_tracker():
  """Remembers how often it was updated, and the last mean logits."""

  def update(tracked, real_logits, fake_logits):
    means = {'real': real_logits.mean(), 'fake': fake_logits.mean()}
    return {'count': tracked['count'] + 1.0, **means}

  zero = jnp.float32(0)
  return jgan.Tracker({'count': zero, 'real': zero, 'fake': zero}, update)


def test_logits_are_tracked_in_the_discriminators_main_move():
  gan = game(
    tracker=counting_tracker(),
    penalty=lambda critic, real, fake, keys: jgan.penalties.r1(critic, real),
    penalty_every=2,
  )
  state = jgan.init(gan, key(), batch())
  start = state.variables['discriminator']['tracked']
  assert [float(x) for x in jax.tree.leaves(start)] == [0, 0, 0]
  logits = state.variables['discriminator']['params']['Dense_0']['kernel'][:, 0]
  for step in range(2):
    before = logits
    state, _ = jgan.train_step(gan, state, batch(), key())
    logits = state.variables['discriminator']['params']['Dense_0']['kernel'][
      :, 0
    ]
    tracked = state.variables['discriminator']['tracked']
    assert float(tracked['count']) == step + 1
    assert float(tracked['real']) == pytest.approx(
      float((X @ before).mean()), abs=1e-5
    )


def test_augmentation_and_auxiliary_get_what_was_tracked_before():
  seen = []

  def augment(samples, keys, tracked):
    return samples + tracked['count']

  def auxiliary(real, fake, latent, batch, tracked):
    seen.append(tracked['count'])
    return jnp.zeros(()), tracked['count']

  gan = game(tracker=counting_tracker(), augment=augment, auxiliary=auxiliary)
  tracked = {
    'count': jnp.float32(3),
    'real': jnp.zeros(()),
    'fake': jnp.zeros(()),
  }
  variables = {
    **VARIABLES,
    'discriminator': {**VARIABLES['discriminator'], 'tracked': tracked},
  }
  told = output(gan, 'discriminator', batch(), variables)
  assert [float(x) for x in seen] == [3]
  assert float(told.metrics['auxiliary']) == 3
  assert float(told.metrics['real_logits']) == pytest.approx(
    float(((X + 3) @ V).mean()), abs=1e-5
  )
  assert float(told.mutated['tracked']['count']) == 4
  assert output(gan, 'generator', batch(), variables).mutated == {}


def test_chained_augmentations_play_beside_a_tracker():
  chained = jgan.augment.chain(lambda sample, key: sample + 1)
  gan = game(tracker=counting_tracker(), augment=chained)
  tracked = counting_tracker().start
  own = {**VARIABLES['discriminator'], 'tracked': tracked}
  told = output(
    gan, 'discriminator', batch(), {**VARIABLES, 'discriminator': own}
  )
  assert float(told.metrics['real_logits']) == pytest.approx(
    float(((X + 1) @ V).mean()), abs=1e-5
  )


def test_what_is_tracked_is_of_the_whole_batch_on_all_devices():
  devices = 4
  single = game(tracker=counting_tracker())
  state = jgan.init(single, key(), batch(), VARIABLES)
  gan = game(tracker=counting_tracker(), axis_name='batch')
  mesh = jgan.sharding.data_mesh(jax.devices()[:devices])
  step = jax.jit(
    jax.shard_map(
      functools.partial(jgan.train_step, gan, axis_name='batch'),
      mesh=mesh,
      in_specs=(P(), P('batch'), P()),
      out_specs=P(),
    )
  )
  assert_close(
    step(state, batch(), key())[0].variables,
    jgan.train_step(single, state, batch(), key())[0].variables,
    1e-5,
  )


class Noisy(nn.Module):
  """Dropout and noise from a stream of its own."""

  @nn.compact
  def __call__(self, sample, label, *, train):
    y = nn.Dropout(0.5, deterministic=not train)(jnp.ones_like(sample) + sample)
    if train:
      y += jax.random.normal(self.make_rng('noise'), y.shape)
    return y


class NoisyCritic(Noisy):
  @nn.compact
  def __call__(self, sample, label, *, train):
    y = Noisy()(sample, label, train=train)
    return {'logits': y.sum(1), 'noised': y, 'sample': sample}


def test_modules_may_draw_from_any_stream():
  record = []
  gan = game(Noisy(), NoisyCritic(), auxiliary=recorder(record), joint=False)
  given = batch(x=Z)  # Reals are what an undisturbed generator makes.
  variables = gan.init(key(), given)
  for label in ('discriminator', 'generator'):
    output(gan, label, given, variables)
  # The fakes are the same in both moves; each call of the critic draws anew.
  ours, theirs = record
  assert_close(ours['fake']['sample'], theirs['fake']['sample'], 0)
  calls = ours['real'], ours['fake'], theirs['real'], theirs['fake']
  for one, other in itertools.combinations(calls, 2):
    assert not np.isclose(one['noised'], other['noised']).any()
  # Sampling is without.
  np.testing.assert_allclose(gan.sample(variables, given, key()), Z + 1)


class Half(nn.Module):
  @nn.compact
  def __call__(self, sample, label, *, train):
    return nn.Dense(1, dtype=jnp.bfloat16)(sample)[:, 0]


def test_losses_are_taken_in_float32():
  gan = game(discriminator=Half())
  variables = {**gan.init(key(), batch()), 'generator': VARIABLES['generator']}
  for label in ('discriminator', 'generator'):
    loss, _, metrics = output(gan, label, batch(), variables)
    dtypes = {loss.dtype, *(m.dtype for m in metrics.values())}
    assert dtypes == {jnp.dtype('float32')}


def test_reals_are_found_by_name():
  gan = game(data='image')
  with pytest.raises(ValueError, match=r"needs 'image', got \['latent', 'x'\]"):
    jgan.init(gan, key(), batch())
  assert float(
    output(gan, 'discriminator', batch(image=2 * X)).metrics['real_logits']
  ) == pytest.approx((2 * X @ V).mean(), rel=1e-5)


def test_samples_of_another_shape_are_refused():
  message = (
    r"the generator makes \[3\], but batch\['x'\] holds examples of \[5\]"
  )
  with pytest.raises(ValueError, match=message):
    jgan.init(game(), key(), batch(x=np.zeros((N, 5), 'float32')))


@pytest.mark.parametrize(
  ('x', 'message'),
  [
    (X.astype('uint8'), 'holds uint8; scale the reals'),
    (np.zeros((N, 5), 'float32'), r'makes \[3\], but .* of \[5\]'),
  ],
)
def test_reals_are_checked_in_the_moves_as_well(x, message):
  gan = game()
  state = jgan.init(gan, key(), batch())
  for player in gan.players:
    with pytest.raises(ValueError, match=message):
      jgan.update(player, state, batch(x=x), key())


def test_integers_in_place_of_reals_are_refused():
  message = r"makes float32, but batch\['x'\] holds uint8; scale the reals"
  with pytest.raises(ValueError, match=message):
    jgan.init(game(), key(), batch(x=X.astype('uint8')))


@pytest.mark.parametrize(
  'loss',
  [
    'hinge',
    jgan.losses.hinge_generator_loss,
    None,
    jgan.losses.hinge._replace(discriminator=None),
  ],
)
def test_a_loss_that_is_no_pair_is_refused(loss, monkeypatch):
  monkeypatch.setattr(jaxtyping.config, 'jaxtyping_disable', True)
  with pytest.raises(TypeError, match=r'standard_gan: .* an AdversarialLoss'):
    game(loss=loss)


@pytest.mark.parametrize('augment', [jgan.augment.color, ()])
def test_an_augmentation_that_is_no_function_is_refused(augment, monkeypatch):
  monkeypatch.setattr(jaxtyping.config, 'jaxtyping_disable', True)
  with pytest.raises(TypeError, match=r'jgan\.augment\.chain.* Got a tuple'):
    game(augment=augment)


def test_a_size_in_place_of_latents_is_refused(monkeypatch):
  monkeypatch.setattr(jaxtyping.config, 'jaxtyping_disable', True)
  with pytest.raises(TypeError, match=r'latents\.normal\(128\), got 5'):
    game(latent=5)


def test_an_augmentation_of_other_arguments_is_explained():
  augment, _ = jgan.ada.adaptive(batch_size=N)
  with pytest.raises(TypeError) as caught:
    jgan.init(game(augment=augment), key(), batch())
  assert 'with the second as tracker=' in caught.value.__notes__[0]


def test_a_penalty_of_other_arguments_is_explained():
  gan = game(penalty=jgan.penalties.r1)
  state = jgan.init(gan, key(), batch())
  with pytest.raises(TypeError) as caught:
    jgan.train_step(gan, state, batch(), key())
  assert 'penalty needs a function of critic' in caught.value.__notes__[0]


def test_an_auxiliary_term_without_its_tracker_is_explained():
  gan = game(auxiliary=jgan.regularizers.lecam_term())
  state = jgan.init(gan, key(), batch())
  with pytest.raises(TypeError) as caught:
    jgan.train_step(gan, state, batch(), key())
  assert '`lecam_term` needs one' in caught.value.__notes__[0]


def test_auxiliary_terms_may_be_plain_numbers():
  gan = game(auxiliary=lambda real, fake, latent, batch: (0.0, 2.5))
  _, metrics = move(gan, 'discriminator', batch())
  assert float(metrics['auxiliary']) == 2.5


@pytest.mark.parametrize('pack', [0, -1])
def test_packs_of_no_samples_are_refused(pack):
  with pytest.raises(ValueError, match=f'pack needs a whole .*got {pack}'):
    game(pack=pack)


@pytest.mark.parametrize('axis_name', ['batch', None])
def test_losses_compare_the_whole_batch_over_devices(axis_name):
  options = {'loss': jgan.losses.relativistic_average}
  gan = game(**options, axis_name=axis_name)
  state = jgan.init(gan, key(), batch(), VARIABLES)
  mesh = jgan.sharding.data_mesh(jax.devices()[:2])
  mover = player(gan, 'generator')
  step = jax.shard_map(
    functools.partial(jgan.update, mover, axis_name='batch'),
    mesh=mesh,
    in_specs=(P(), P('batch'), P()),
    out_specs=P(),
  )
  over, metrics = jax.block_until_ready(jax.jit(step)(state, batch(), key()))
  alone, expected = move(game(**options), 'generator', batch())
  same = np.allclose(kernels(over)[0], kernels(alone)[0], atol=1e-5)
  assert same == (axis_name is not None)
  assert np.isclose(metrics['loss'], expected['loss'], atol=1e-5) == same


def test_what_modules_make_beside_an_array_is_told():
  class Discriminator(nn.Module):
    wrong: Callable

    @nn.compact
    def __call__(self, sample, label, *, train):
      return self.wrong(nn.Dense(1)(sample)[:, 0])

  class Generator(nn.Module):
    @nn.compact
    def __call__(self, latent, label, *, train):
      return [nn.Dense(3)(latent)]

  for wrong in (lambda y: (y, y), lambda y: {'logits': [y, y]}):
    gan = game(discriminator=Discriminator(wrong))
    state = jgan.init(gan, key(), batch())
    with pytest.raises(ValueError, match='one array of logits, got a'):
      jgan.train_step(gan, state, batch(), key())
  with pytest.raises(ValueError, match='one array of samples, got a list'):
    jgan.init(game(generator=Generator()), key(), batch())


def test_a_mapping_without_logits_is_named():
  class Silent(nn.Module):
    @nn.compact
    def __call__(self, sample, label, *, train):
      return {'features': nn.Dense(1)(sample.reshape(len(sample), -1))}

  gan = game(discriminator=Silent())
  batch = {'x': jnp.asarray(X)}
  state = jgan.init(gan, jax.random.key(0), batch)
  with pytest.raises(ValueError, match=r"needs 'logits', got \['features'\]"):
    jgan.train_step(gan, state, batch, jax.random.key(0))


def test_pairs_of_equal_logits_are_not_told_apart():
  metrics = jgan.standard.logit_metrics(
    jnp.array([1.0, 2.0, 0.0, 0.0]), jnp.array([1.0, 1.0, 0.0, 3.0])
  )
  assert float(metrics['accuracy']) == 1 / 4


class NoisyMirror(nn.Module):
  """What it was given, and logits of noise from its stream."""

  @nn.compact
  def __call__(self, sample, label, *, train):
    noise = jax.random.normal(self.make_rng('noise'), sample.shape[:1])
    return {'logits': sample.sum(-1) + noise, 'sample': sample}


def test_penalty_sees_the_very_samples_and_noise_of_the_main_term():
  record, given = [], {}

  def augment(samples, keys):
    return samples + jax.vmap(lambda k: jax.random.normal(k, (3,)))(keys)

  def penalty(critic, real, fake, keys):
    given.update(real=real, fake=fake, keys=keys, logits=critic(real))
    return jnp.zeros(len(keys))

  gan = game(
    discriminator=NoisyMirror(),
    augment=augment,
    penalty=penalty,
    auxiliary=recorder(record),
  )
  # Of keys that are told apart the same numbers may be drawn again.
  drawn = {name: x for name, x in batch().items() if name != 'latent'}
  with jax.debug_key_reuse(False):
    variables = {**VARIABLES, 'discriminator': {}}
    output(gan, 'discriminator', drawn, variables)
    again = jax.vmap(lambda k: jax.random.normal(k, (3,)))(given['keys'])
  (seen,) = record
  np.testing.assert_allclose(given['real'], seen['real']['sample'], rtol=1e-6)
  np.testing.assert_allclose(given['fake'], seen['fake']['sample'], rtol=1e-6)
  np.testing.assert_allclose(given['logits'], seen['real']['logits'], rtol=1e-6)
  # What is drawn of a penalty's keys has nothing to do with the latents.
  assert abs(again - seen['latent']).min() > 1e-6
