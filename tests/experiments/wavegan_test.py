"""The experiments on sound, as a user runs them, on wav files made here."""

import functools
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image
from scipy.io import wavfile

import jgan
from experiments import (
  data,
  evaluate,
  sample,
  sounds,
  spoken_digits,
  sweep,
  train,
)

SMALL = (
  '--length=64',
  '--width=2',
  '--latent-dim=2',
  '--batch-size=8',
  '--n-critic=1',
  '--steps=2',
  '--log-every=1',
  '--sample-every=2',
)


@pytest.fixture(scope='module', autouse=True)
def one_device(tmp_path_factory):
  """The loop takes all devices, and keeps programs in the user's cache."""
  devices, cache = jax.devices, jax.config.jax_compilation_cache_dir
  jax.devices = lambda *args: devices(*args)[:1]
  folder = str(tmp_path_factory.mktemp('cache'))
  jax.config.update('jax_compilation_cache_dir', folder)
  jax.config.update('jax_persistent_cache_min_compile_time_secs', 0)
  yield
  jax.devices = devices
  jax.config.update('jax_compilation_cache_dir', cache)


@pytest.fixture(scope='module')
def recordings(tmp_path_factory):
  """Tones of ten digits, in noise: 70 takes to learn from, 70 held out."""
  folder = tmp_path_factory.mktemp('recordings')
  rng = np.random.default_rng(0)
  for digit in range(10):
    for speaker, take in [*(('a', i) for i in range(12)), ('b', 0), ('b', 1)]:
      tone = np.sin(np.arange(90) * (digit + 1) * 0.2)
      clip = 8000 * tone + rng.normal(0, 2000, 90)
      name = f'{digit}_{speaker}_{take}.wav'
      wavfile.write(folder / name, 8000, clip.astype(np.int16))
  return folder


@pytest.fixture(scope='module')
def spoken(recordings, tmp_path_factory):
  workdir = tmp_path_factory.mktemp('run') / 'spoken'
  flags = [f'--path={recordings}', '--evaluate-every=2', *SMALL]
  train.main(['spoken-digits', f'--workdir={workdir}', *flags])
  return workdir


def test_a_run_shows_what_it_hears_and_makes(spoken):
  for stem in ('reals', 'samples/000000', 'samples/000002'):
    rate, heard = wavfile.read(spoken / f'{stem}.wav')
    assert (rate, len(heard)) == (8000, 40 * 64 + 39 * 1000)
    with Image.open(spoken / f'{stem}.png') as image:
      assert image.mode == 'RGB'
  _, reals = wavfile.read(spoken / 'reals.wav')
  assert np.abs(reals.astype(int)).max() == 32767
  # Ten columns of samples, a digit each; the reals as they come.
  with Image.open(spoken / 'samples' / '000002.png') as image:
    assert image.size[0] == 10 * 66 + 2
  text = (spoken / 'metrics.jsonl').read_text()
  told = [json.loads(line) for line in text.splitlines()]
  assert all(np.isfinite(list(line.values())).all() for line in told)
  best = json.loads((spoken / 'best.json').read_text())
  assert best['frechet_distance'] > 0


def test_samples_of_a_digit_are_files_and_arrays(spoken, tmp_path):
  sample.main(
    [
      f'--workdir={spoken}',
      '--count=3',
      '--label',
      '7',
      f'--grid={tmp_path / "grid.png"}',
      f'--npz={tmp_path / "x.npz"}',
      f'--files={tmp_path / "each"}',
    ]
  )
  with np.load(tmp_path / 'x.npz') as stored:
    arrays = dict(stored)
  assert arrays['sound'].shape == (3, 64, 1)
  assert arrays['sound'].dtype == np.int16
  assert arrays['rate'] == 8000
  np.testing.assert_array_equal(arrays['label'], [7, 7, 7])
  rate, one = wavfile.read(tmp_path / 'each' / '000002.wav')
  assert rate == 8000
  np.testing.assert_array_equal(one, arrays['sound'][2, :, 0])
  assert (tmp_path / 'grid.wav').exists()


def test_the_report_has_the_scores_of_samples_and_of_recordings(
  spoken, recordings, tmp_path
):
  arguments = evaluate.Arguments(
    workdir=str(spoken), count=70, output=str(tmp_path)
  )
  report = evaluate.evaluate(arguments)
  names = spoken_digits.LOWER_IS_BETTER + spoken_digits.HIGHER_IS_BETTER
  assert set(report['scores']) == {*names, *(f'held_out_{x}' for x in names)}
  value = {name: x['value'] for name, x in report['scores'].items()}
  assert 0 <= value['accuracy'] <= 1
  assert 1 <= value['inception_score'] <= 10
  # Other takes of the same tones are closer than what was hardly trained.
  assert value['held_out_frechet_distance'] < value['frechet_distance']
  told = report['protocol']
  assert (told['real_count'], told['fake_count']) == (70, 70)
  assert told['held_out_count'] == 70
  assert str(recordings) in told['real']
  assert 'step 2' in told['fake']
  json.loads((tmp_path / 'evaluation.json').read_text())


def test_the_accuracy_is_of_the_digits_asked_for():
  probabilities = np.eye(10)[[0, 1, 2, 3, 9, 9]]
  features = np.random.default_rng(0).normal(size=(64, 64))
  found = spoken_digits._scores(
    features,
    features,
    np.concatenate([probabilities] * 4),
    np.tile([0, 1, 2, 3, 4, 5], 4),
  )
  assert found['accuracy'].value == pytest.approx(4 / 6)
  assert found['accuracy'].low < 4 / 6 < found['accuracy'].high
  assert found['frechet_distance'].value == pytest.approx(0, abs=1e-6)
  assert 'accuracy' not in spoken_digits._scores(
    features, features, np.concatenate([probabilities] * 4), None
  )


@pytest.mark.parametrize('experiment', [spoken_digits, sounds])
def test_the_default_numbers_fit_their_data(experiment):
  config = experiment.Config()
  gan = experiment.make_gan(config)
  batch = {
    'sound': jnp.zeros((2, config.length, 1)),
    'label': jnp.zeros(2, jnp.int32),
  }
  key = jax.random.key(0)
  state = jax.eval_shape(functools.partial(jgan.init, gan), key, batch)
  sound = jax.eval_shape(functools.partial(jgan.sample, gan), state, batch, key)
  assert sound.shape == (2, config.length, 1)
  assert list(state.ema_params) == ['generator']


@pytest.mark.parametrize(
  ('flags', 'message'),
  [
    (['--num-classes=3'], 'must be 10, the digits, or 0'),
    (['--num-classes=0', '--best-by=accuracy'], 'needs labels'),
    (['--length=1000'], 'power of two'),
    (['--path='], 'needs the path'),
  ],
)
def test_mistakes_are_told_in_a_line(
  recordings, tmp_path, capsys, flags, message
):
  with pytest.raises(SystemExit) as status:
    train.main(
      [
        'spoken-digits',
        f'--workdir={tmp_path / "run"}',
        f'--path={recordings}',
        *flags,
      ]
    )
  assert status.value.code == 2
  assert message in capsys.readouterr().err
  assert not (tmp_path / 'run').exists()


def test_any_folder_of_sounds_is_played(recordings, tmp_path):
  flags = [f'--path={recordings}', '--num-classes=10', '--rate=4000', *SMALL]
  workdir = tmp_path / 'run'
  train.main(['sounds', f'--workdir={workdir}', *flags])
  rate, heard = wavfile.read(workdir / 'samples' / '000002.wav')
  assert (rate, len(heard)) == (4000, 40 * 64 + 39 * 500)


def make_sounds(folder, amplitude, count=50):
  rng = np.random.default_rng(0)
  for i in range(count):
    noise = rng.normal(0, amplitude, 4096)
    wavfile.write(folder / f'{i}.wav', 8000, noise.astype(np.int16))


def test_the_score_of_sounds_is_lower_for_what_sounds_alike(tmp_path):
  make_sounds(tmp_path, 3000)
  config = sounds.Config(path=str(tmp_path), length=2048, rate=8000)

  def noise(amplitude):
    def generate(count, seed):
      rng = np.random.default_rng(seed)
      return rng.normal(0, amplitude / 32768, (count, 2048, 1))

    return sounds.score(config, generate, count=60, seed=1)

  alike, quieter = noise(3000), noise(300)
  assert alike.scores['frechet_distance'].value < 20
  # 20 dB in each of 20 bands.
  expected = 20 * 20**2
  assert quieter.scores['frechet_distance'].value == pytest.approx(
    expected, rel=0.05
  )
  assert (alike.protocol['real_count'], alike.protocol['fake_count']) == (
    50,
    60,
  )


def test_a_long_recording_gives_many_clips_if_asked(tmp_path):
  make_sounds(tmp_path, 3000, count=2)
  config = sounds.Config(path=str(tmp_path), length=1024, rate=8000)
  assert len(sounds.make_data(config)) == 2
  config = sounds.Config(path=str(tmp_path), length=1024, rate=8000, whole=True)
  source = sounds.make_data(config)
  assert isinstance(source, data.Arrays)
  assert len(source) == 8


def test_classes_that_do_not_fit_the_folder_are_told(tmp_path):
  make_sounds(tmp_path, 3000, count=2)
  config = {'path': str(tmp_path), 'length': 64, 'rate': 8000}
  with pytest.raises(
    ValueError, match=r'--num-classes=3, but .* has 0 classes'
  ):
    sounds.make_data(sounds.Config(**config, num_classes=3))


@pytest.mark.parametrize(
  ('command', 'flag'), [(train, '--evaluate-every=1'), (sweep, '--seeds=2')]
)
def test_too_few_for_the_score_are_told_before_training(
  command, flag, tmp_path, capsys
):
  (tmp_path / 'data').mkdir()
  make_sounds(tmp_path / 'data', 3000, count=2)
  words = f'--workdir={tmp_path / "run"}', f'--path={tmp_path / "data"}'
  with pytest.raises(SystemExit) as status:
    command.main(['sounds', *words, *SMALL, '--rate=8000', flag])
  assert status.value.code == 2
  told = capsys.readouterr().err
  assert 'sounds need 40 clips or more, and its data have 2' in told
  assert not (tmp_path / 'run').exists()


@pytest.mark.parametrize(
  ('experiment', 'made', 'count', 'message'),
  [
    (sounds, 45, 10, 'need 40 .* have 45, and --count=10'),
    (sounds, 2, 5000, 'need 40 .* have 2, and --count=5000'),
    (spoken_digits, 0, 10, 'need 64 .* have 70, and --count=10'),
  ],
)
def test_too_little_for_the_score_is_told_before_anything_is_sampled(
  experiment, made, count, message, recordings, tmp_path
):
  make_sounds(tmp_path, 3000, made)
  path = str(tmp_path if made else recordings)
  config = experiment.Config(path=path, length=64)
  run = train.configs.Run('any', tmp_path, config)
  with pytest.raises(evaluate.UserError, match=message):
    evaluate.own_report(evaluate.Arguments(count=count), run, experiment)
