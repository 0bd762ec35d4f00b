"""Scores with their protocol, of runs and of anybody's pictures."""

import json
import re

import jax
import numpy as np
import pytest
from PIL import Image

from experiments import data, evaluate, sample, scoring, train
from experiments.errors import UserError
from experiments.extractors import Extractor
from experiments.scoring import Features, Pictures, Score, scores
from jgan import metrics


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
  """Features and programs are kept apart from the user's."""
  monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path / 'cache'))
  before = jax.config.jax_compilation_cache_dir
  yield
  jax.config.update('jax_compilation_cache_dir', before)


@pytest.fixture(scope='module')
def digits():
  """Two disjoint sets of 600 digits each: uint8 pictures and labels."""
  arrays = data.digits().arrays
  rows = np.random.default_rng(0).permutation(5000)
  return [
    {name: array[part] for name, array in arrays.items()}
    for part in (rows[:600], rows[600:1200])
  ]


@pytest.fixture
def files(digits, tmp_path):
  """The two sets as npz files."""
  paths = [tmp_path / 'a.npz', tmp_path / 'b.npz']
  for path, arrays in zip(paths, digits, strict=True):
    np.savez(path, **arrays)
  return paths


def run(*words):
  evaluate.main([str(word) for word in words])


COMMON = ('--extractor=digits', '--resamples=3')


def test_scores_anybodys_pictures_with_protocol_and_intervals(
  files, tmp_path, capsys, digits
):
  real, fake = files
  run(f'--real={real}', f'--fake={fake}', f'--output={tmp_path}', *COMMON)
  report = json.loads((tmp_path / 'evaluation.json').read_text())
  extractor = scoring.EXTRACTORS['digits']()
  of_real, of_fake = (
    np.asarray(extractor.features(x['image'])[0]) for x in digits
  )
  scores, protocol = report['scores'], report['protocol']
  distance = scores['frechet_distance']
  assert distance['value'] == pytest.approx(
    metrics.frechet_distance(of_real, of_fake), rel=1e-4
  )
  assert distance['low'] < distance['value'] < distance['high']
  assert scores['precision']['value'] == pytest.approx(
    metrics.precision_recall(of_real, of_fake).precision, abs=0.01
  )
  assert set(scores) == {
    *scoring.LOWER_IS_BETTER,
    *scoring.HIGHER_IS_BETTER,
  }
  assert protocol['extractor'] == 'digit-classifier'
  assert protocol['weights_sha256'] == extractor.sha256
  assert (protocol['real_count'], protocol['fake_count']) == (600, 600)
  printed = capsys.readouterr().out
  assert 'frechet_distance' in printed
  assert extractor.sha256 in printed
  with Image.open(tmp_path / 'neighbours.png') as image:
    assert image.size == (4 * 34 + 2, 10 * 34 + 2)


@pytest.mark.slow
def test_modes_of_stacked_digits_are_counted(digits, tmp_path, capsys):
  image, label = digits[0]['image'], digits[0]['label']
  # Three in a pile: the digit of each picture and those of the next two.
  triples = np.stack([np.roll(np.arange(600), -i) for i in range(3)], -1)
  path = tmp_path / 'stacked.npz'
  np.savez(path, image=np.moveaxis(image[triples, ..., 0], 1, -1))
  words = [f'--{kind}={path}' for kind in ('real', 'fake')]
  run(*words, f'--output={tmp_path}', '--extractor=stacked-digits', *COMMON[1:])
  found = json.loads((tmp_path / 'evaluation.json').read_text())['scores']
  expected = metrics.label_coverage(label[triples] @ [100, 10, 1], 1000)
  # The classifier errs on one digit in 250 or so.
  assert found['modes_of_1000']['value'] == pytest.approx(expected.modes, abs=8)
  assert found['modes_kl']['value'] == pytest.approx(expected.kl, abs=0.03)
  assert found['modes_of_1000']['low'] is None
  assert 'modes_of_1000' in capsys.readouterr().out


def test_distance_of_each_class(digits, tmp_path):
  two_classes = tmp_path / 'two.npz'
  label = np.arange(600) % 2
  np.savez(two_classes, image=digits[0]['image'], label=label)
  report = evaluate.evaluate(
    evaluate.Arguments(
      real=str(two_classes),
      fake=str(two_classes),
      extractor='digits',
      resamples=0,
      classes=True,
      output=str(tmp_path),
    )
  )
  found = report['scores']['frechet_distance_of_class_1']
  assert found['value'] == pytest.approx(0, abs=1e-3)
  assert found['low'] is None
  assert report['protocol']['interval'] is None
  assert 'interval' not in evaluate.table(report)


def test_copies_of_the_training_data_are_found(digits):
  extractor = scoring.EXTRACTORS['digits']()
  train_set, held_out = (
    scoring.extract(extractor, scoring.Pictures('digits', data.Arrays(x)))
    for x in digits
  )
  copied = scoring.scores(train_set, train_set, held_out, resamples=0)
  fresh = scoring.scores(train_set, held_out, held_out, resamples=0)
  assert copied['memorisation_share'].value == 1
  assert fresh['memorisation_share'].value < 0.05


def test_a_folder_of_pictures_scores_as_the_npz(files, digits, tmp_path):
  folder = tmp_path / 'pictures'
  folder.mkdir()
  for i, image in enumerate(digits[1]['image']):
    Image.fromarray(image[..., 0]).save(folder / f'{i:04}.png')
  found = [
    evaluate.evaluate(
      evaluate.Arguments(
        real=str(files[0]),
        fake=str(fake),
        extractor='digits',
        resamples=0,
        output=str(tmp_path),
      )
    )['scores']
    for fake in (files[1], folder)
  ]
  assert found[0] == found[1]


def test_a_neighbour_is_shown_beside_its_fake(digits):
  source = data.Arrays({'image': digits[0]['image']})
  extractor = scoring.EXTRACTORS['digits']()
  of_all = scoring.extract(extractor, scoring.Pictures('digits', source))
  rows = np.arange(20, 40)
  fake = scoring.Pictures('some', data.Rows(source, rows))
  shown = evaluate.neighbours(
    scoring.Pictures('digits', source), of_all, fake, of_all.at(rows)
  )
  fakes, nearest = shown[2:34, 2:34], shown[2:34, 36:68]
  assert np.ptp(fakes) > 0
  np.testing.assert_array_equal(fakes, nearest)


@pytest.mark.parametrize(
  ('words', 'message'),
  [
    ([], 'give --workdir, or both --real and --fake'),
    (['--real={a}', '--fake={tmp}/none'], 'is no folder, no .npz file'),
    (['--real={a}', '--fake={tmp}/empty'], 'no picture'),
    (['--real={a}', '--fake={tmp}/colour.npz'], 'must agree'),
    (['--real={a}', '--fake={tmp}/few.npz'], 'few.npz: scores need at least'),
    (['--real={a}', '--fake={tmp}/float.npz'], 'must be uint8'),
    (['--real={a}', '--fake={tmp}/corrupt'], 'corrupt'),
    (['--real={a}', '--fake={b}', '--extractor=vgg'], 'is none of'),
    (['--real={a}', '--fake={b}', '--count=0'], '--count must be 1 or more'),
    (['--real={a}', '--fake={b}', '--count=9'], 'need at least 10 pictures,'),
    (['--real={a}', '--fake={b}', '--seed=-1'], '--seed must be from 0 to'),
    (['--real={a}', '--fake={b}', '--resamples=1'], 'must be 2 or more, or 0'),
    (['--real={a}', '--fake={tmp}/plain.npz', '--classes'], 'needs labels'),
  ],
)
def test_what_cannot_be_scored_is_named(
  words, message, files, digits, tmp_path, capsys
):
  image = digits[1]['image']
  (tmp_path / 'empty').mkdir()
  (tmp_path / 'corrupt').mkdir()
  (tmp_path / 'corrupt' / 'x.png').write_bytes(b'no picture')
  np.savez(tmp_path / 'colour.npz', image=np.repeat(image, 3, -1))
  np.savez(tmp_path / 'few.npz', image=image[:5])
  np.savez(tmp_path / 'float.npz', image=image / 255)
  np.savez(tmp_path / 'plain.npz', image=image)
  names = {'a': files[0], 'b': files[1], 'tmp': tmp_path}
  words = [word.format(**names) for word in words]
  if not any(word.startswith('--extractor') for word in words):
    words.append('--extractor=digits')
  with pytest.raises(SystemExit) as status:
    run('--resamples=0', *words, f'--output={tmp_path}')
  assert status.value.code == 2
  assert message in capsys.readouterr().err
  assert not (tmp_path / 'evaluation.json').exists()


def test_a_score_without_a_value_is_told_as_none():
  found = {'r2': Score(np.nan), 'f1': Score(0.5, 0.25, 0.75)}
  told = evaluate.table({'scores': evaluate.finite(found), 'protocol': {}})
  r2, f1, *_ = told.splitlines()
  assert r2.split() == ['r2', 'none']
  assert f1.split() == ['f1', '0.5', '[0.25,', '0.75]']


@pytest.mark.slow
def test_training_scores_itself_and_keeps_the_best(
  tmp_path, monkeypatch, capsys
):
  devices = jax.devices()[:1]
  monkeypatch.setattr(jax, 'devices', lambda: devices)
  monkeypatch.setattr('experiments.best.SCORED', 300)
  flags = ['--width=4', '--latent-dim=4', '--batch-size=8', '--log-every=2']
  workdir = tmp_path / 'run'
  train.main(
    [f'--workdir={workdir}', '--steps=6', '--evaluate-every=2', *flags]
  )
  assert 'frechet_distance' in capsys.readouterr().out
  lines = [
    json.loads(line)
    for line in (workdir / 'metrics.jsonl').read_text().splitlines()
  ]
  scored = {
    line['step']: line['evaluation/frechet_distance']
    for line in lines
    if 'evaluation/frechet_distance' in line
  }
  assert list(scored) == [2, 4, 6]
  best = json.loads((workdir / 'best.json').read_text())
  assert best['step'] == min(scored, key=scored.get)
  generate = sample.load(workdir, best=True)
  assert int(generate.state.step) == best['step']
  run(f'--workdir={workdir}', '--best', '--count=300', '--resamples=0')
  report = json.loads((workdir / 'evaluation.json').read_text())
  assert report['protocol']['fake'].endswith(
    f'step {best["step"]}, averaged params'
  )


def test_pictures_of_several_sizes_are_brought_to_the_others(tmp_path):
  for name, size in (('a', (9, 7)), ('b', (12, 12))):
    (tmp_path / 'real').mkdir(exist_ok=True)
    Image.new('RGB', size, 'red').save(tmp_path / 'real' / f'{name}.png')
  np.savez(tmp_path / 'fake.npz', image=np.zeros((3, 6, 4, 3), np.uint8))
  arguments = evaluate.Arguments(
    real=str(tmp_path / 'real'), fake=str(tmp_path / 'fake.npz')
  )
  real, _, _ = evaluate.compared(arguments, None)
  made = real.source[np.arange(2)]['image']
  assert made.shape == (2, 6, 4, 3)
  assert (made == [255, 0, 0]).all()


@pytest.mark.slow
def test_of_few_pictures_there_is_no_frechet_distance(
  files, digits, tmp_path, capsys, monkeypatch
):
  few = {name: array[:40] for name, array in digits[1].items()}
  np.savez(tmp_path / 'few.npz', **few)
  words = f'--real={files[0]}', f'--fake={tmp_path / "few.npz"}'
  run(*words, f'--output={tmp_path}', *COMMON)
  assert (
    'No Frechet distance: it needs as many pictures as'
    in capsys.readouterr().err
  )
  found = json.loads((tmp_path / 'evaluation.json').read_text())['scores']
  expected = {*scoring.LOWER_IS_BETTER, *scoring.HIGHER_IS_BETTER}
  assert set(found) == expected - {'frechet_distance'}
  monkeypatch.setattr('experiments.best.SCORED', 40)
  flags = [f'--workdir={tmp_path / "run"}', '--steps=1', '--width=4']
  flags += ['--batch-size=8', '--evaluate-every=1']
  with pytest.raises(SystemExit):
    train.main(flags)
  message = r'frechet_distance needs \d+ pictures.*there are 40\. Give'
  assert re.search(message, capsys.readouterr().err)
  train.main([*flags, '--best-by=kernel_distance'])
  assert 'kernel_distance' in (tmp_path / 'run' / 'best.json').read_text()


def test_an_unknown_score_is_named_before_anything_is_written(tmp_path, capsys):
  with pytest.raises(SystemExit):
    train.main(
      [f'--workdir={tmp_path / "run"}', '--best-by=beauty', '--batch-size=8']
    )
  assert '--best-by=beauty is none of' in capsys.readouterr().err
  assert not (tmp_path / 'run').exists()


@pytest.mark.parametrize('classes', [True, False])
@pytest.mark.parametrize('resamples', [0, 2])
def test_as_many_as_are_asked_for_are_enough(classes, resamples):
  halves = 2 if resamples else 1
  least = {'real': 6 * halves, 'fake': (10 if classes else 6) * halves}
  extractor = Extractor('x', 'none', 'none', None, 2, has_classes=classes)
  draw = np.random.default_rng(0)

  def check(**sizes):
    pictures = {k: Pictures(k, range(n)) for k, n in sizes.items()}
    evaluate.check_enough(extractor, resamples=resamples, **pictures)

  check(**least)
  for name, size in least.items():
    with pytest.raises(UserError, match=rf'{name}: scores .* {size} .* got'):
      check(**{**least, name: size - 1})
  real, fake = (
    Features(
      draw.normal(size=(n, 2)),
      draw.dirichlet([1, 1], n) if classes else None,
      None,
      ('x', 'none', 'none'),
    )
    for n in least.values()
  )
  found = scores(real, fake, resamples=resamples)
  assert ('inception_score' in found) == classes
