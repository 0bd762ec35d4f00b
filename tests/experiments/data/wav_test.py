"""Wav files of all widths, rates and states, in folders and archives."""

import io
import os
import tarfile
import wave
import zipfile

import numpy as np
import pytest
from scipy.io import wavfile

from experiments.data import decode
from experiments.data.wav import consecutive, loudest, to_int16, wavs


def content(sound, rate=8000, width=2):
  """A PCM wav file of whole numbers, [t] or [t, channels], by stdlib's wave."""
  sound = np.asarray(sound)
  raw = {
    1: lambda: (sound + 128).astype(np.uint8).tobytes(),
    2: lambda: sound.astype('<i2').tobytes(),
    3: lambda: sound.astype('<i4')
    .reshape(-1, 1)
    .view(np.uint8)[:, :3]
    .tobytes(),
    4: lambda: sound.astype('<i4').tobytes(),
  }[width]()
  file = io.BytesIO()
  with wave.open(file, 'wb') as writer:
    writer.setnchannels(1 if sound.ndim == 1 else sound.shape[1])
    writer.setsampwidth(width)
    writer.setframerate(rate)
    writer.writeframes(raw)
  return file.getvalue()


def put(path, *arguments, **options):
  path.parent.mkdir(parents=True, exist_ok=True)
  path.write_bytes(content(*arguments, **options))


def one(tmp_path, length, rate=8000, **options):
  """The only clip."""
  source, names = wavs(tmp_path, length, rate, **options)
  assert (len(source), names) == (1, ())
  assert source.arrays['sound'].dtype == np.int16
  assert source.arrays['sound'].shape == (1, length, 1)
  return source.arrays['sound'][0, :, 0]


def sine(frequency, rate, seconds, amplitude=0.5):
  return amplitude * np.sin(
    2 * np.pi * frequency * np.arange(round(seconds * rate)) / rate
  )


@pytest.mark.parametrize(
  ('width', 'samples', 'expected'),
  [
    (1, [1, -128, 127], [256, -32768, 127 * 256]),
    (2, [1, -32768, 32767], [1, -32768, 32767]),
    (3, [256, -(2**23), 3 * 2**20], [1, -32768, 3 * 2**12]),
    (4, [2**16, -(2**31), 5 * 2**20], [1, -32768, 5 * 2**4]),
  ],
)
def test_every_width_becomes_16_bits(tmp_path, width, samples, expected):
  put(tmp_path / 'x.wav', samples, width=width)
  np.testing.assert_array_equal(one(tmp_path, 3), expected)


def test_floating_point_files_are_read_and_clipped(tmp_path):
  wavfile.write(tmp_path / 'x.WAV', 8000, np.float32([0.5, -1.5, 2.0]))
  np.testing.assert_array_equal(one(tmp_path, 3), [16384, -32768, 32767])


def test_channels_are_mixed_by_their_mean(tmp_path):
  put(tmp_path / 'x.wav', [[100, 300], [-50, 50], [7, 9]])
  np.testing.assert_array_equal(one(tmp_path, 3), [200, 0, 8])


@pytest.mark.parametrize('own_rate', [16000, 11025, 44100, 4000])
def test_another_rate_is_resampled(tmp_path, own_rate):
  sound = to_int16(sine(440, own_rate, 0.25))
  put(tmp_path / 'x.wav', sound, rate=own_rate)
  got = one(tmp_path, 2000) / 32768
  middle = slice(200, 1800)  # at the ends the sine begins and stops
  expected = sine(440, 8000, 0.25)
  np.testing.assert_allclose(got[middle], expected[middle], atol=0.01)


def test_what_the_rate_cannot_hold_is_filtered_out(tmp_path):
  put(tmp_path / 'x.wav', to_int16(sine(7000, 16000, 0.25)), rate=16000)
  got = one(tmp_path, 2000)[200:1800] / 32768
  assert np.abs(got).max() < 0.005  # an alias at 1 kHz would be of .5


def test_shorter_clips_end_in_silence_and_longer_in_their_loudest(tmp_path):
  put(tmp_path / 'x.wav', [5, 6])
  np.testing.assert_array_equal(one(tmp_path, 4), [5, 6, 0, 0])
  put(tmp_path / 'x.wav', [1, -9, 2, 3, 8, -3, 1])
  # Sums of three squares: 86, 94, 77, 82, 74.
  np.testing.assert_array_equal(one(tmp_path, 3), [-9, 2, 3])


def test_loudest_takes_the_first_of_equals():
  sound = np.array([2, 2, 1, 2, 2])
  np.testing.assert_array_equal(loudest(sound, 2), [[2, 2]])
  np.testing.assert_array_equal(loudest(sound, 5), [sound])


def test_all_of_a_long_recording(tmp_path):
  np.testing.assert_array_equal(
    consecutive(np.arange(1, 6), 2), [[1, 2], [3, 4], [5, 0]]
  )
  np.testing.assert_array_equal(consecutive(np.ones(4), 2), np.ones((2, 2)))
  put(tmp_path / '3_b.wav', [1, 2, 0, 0, 3])
  put(tmp_path / '1_a.wav', [4, 0])
  source, names = wavs(tmp_path, 2, 8000, cut=consecutive)
  # The silent window between is left out.
  np.testing.assert_array_equal(
    source.arrays['sound'][..., 0], [[4, 0], [1, 2], [3, 0]]
  )
  np.testing.assert_array_equal(source.arrays['label'], [0, 1, 1])
  assert names == ('1', '3')


def test_normalised_clips_reach_full_peak(tmp_path):
  put(tmp_path / 'a.wav', [1, -2, 1])
  put(tmp_path / 'b.wav', [100, 50, 0])
  source, _ = wavs(tmp_path, 3, 8000, normalise=True)
  np.testing.assert_array_equal(
    source.arrays['sound'][..., 0],
    [[16384, -32767, 16384], [32767, 16384, 0]],
  )


def test_numbers_in_names_are_labels(tmp_path):
  for name in ('10_ann_0', '2_ann_0', '2_bob_1', '02_bob_2'):
    put(tmp_path / 'recordings' / f'{name}.wav', [1, 0])
  source, names = wavs(tmp_path, 1, 8000)
  assert names == ('2', '10')
  # By path: 02_bob_2, 10_ann_0, 2_ann_0, 2_bob_1.
  np.testing.assert_array_equal(source.arrays['label'], [0, 1, 0, 0])
  assert source.arrays['label'].dtype == np.int32
  put(tmp_path / 'recordings' / 'other.wav', [1, 0])
  source, names = wavs(tmp_path, 1, 8000)
  assert (names, set(source.arrays)) == ((), {'sound'})


def test_subfolders_are_labels(tmp_path):
  put(tmp_path / 'snare' / '1_x.wav', [3, 0])
  put(tmp_path / 'kick' / '2_x.wav', [2, 0])
  put(tmp_path / 'kick' / 'deep' / '0_x.wav', [1, 0])
  put(tmp_path / '.trash' / '1_x.wav', [7, 0])
  put(tmp_path / 'kick' / '._x.wav', [7, 0])
  source, names = wavs(tmp_path, 1, 8000)
  assert names == ('kick', 'snare')
  np.testing.assert_array_equal(source.arrays['label'], [0, 0, 1])
  np.testing.assert_array_equal(source.arrays['sound'].ravel(), [2, 1, 3])


def test_only_wanted_files_are_read(tmp_path):
  put(tmp_path / '1_a.wav', [1, 0])
  (tmp_path / '2_a.wav').write_bytes(b'no sound')
  source, names = wavs(
    tmp_path, 1, 8000, wanted=lambda name: name.name != '2_a.wav'
  )
  assert (len(source), names) == (1, ('1',))


def streamed(whole):
  """A file as a program writes it to a pipe, where it cannot go back."""
  unknown = b'\xff' * 4
  return whole[:4] + unknown + whole[8:40] + unknown + whole[44:]


def archives(tmp_path):
  """The same two files in each kind of archive, in another order."""
  files = {'all/1_b.wav': content([2, 0]), 'all/0_a.wav': content([1, 0])}
  files |= {'all/._0_a.wav': b'hidden', 'all/notes.txt': b'no sound'}
  for end, mode in (('tar', 'w'), ('tar.gz', 'w:gz'), ('tgz', 'w:gz')):
    with tarfile.open(tmp_path / f'x.{end}', mode) as archive:
      for name, held in files.items():
        info = tarfile.TarInfo(name)
        info.size = len(held)
        archive.addfile(info, io.BytesIO(held))
  with zipfile.ZipFile(tmp_path / 'x.zip', 'w') as archive:
    for name, held in files.items():
      archive.writestr(name, held)


@pytest.mark.parametrize('end', ['tar', 'tar.gz', 'tgz', 'zip'])
def test_archives_are_read_in_place(tmp_path, end, monkeypatch):
  archives(tmp_path)
  before = sorted(os.listdir(tmp_path))
  monkeypatch.chdir(tmp_path)
  source, names = wavs(f'x.{end}', 2, 8000)
  assert names == ('0', '1')
  np.testing.assert_array_equal(
    source.arrays['sound'][..., 0], [[1, 0], [2, 0]]
  )
  assert sorted(os.listdir(tmp_path)) == before


def test_subfolders_of_a_zip_made_on_windows_are_labels(tmp_path):
  with zipfile.ZipFile(tmp_path / 'x.zip', 'w') as archive:
    for i, name in enumerate(['dogs\\1.wav', 'cats\\2.wav', 'dogs\\.3.wav']):
      archive.writestr(name, content([i + 1, 0]))
  source, names = wavs(tmp_path / 'x.zip', 1, 8000)
  assert names == ('cats', 'dogs')
  assert source.arrays['sound'].ravel().tolist() == [2, 1]
  assert source.arrays['label'].tolist() == [0, 1]


@pytest.mark.parametrize('end', ['tar.gz', 'zip'])
def test_a_damaged_archive_is_told(tmp_path, end):
  archives(tmp_path)
  path = tmp_path / f'x.{end}'
  path.write_bytes(path.read_bytes()[:60])
  with pytest.raises(ValueError, match=rf'archive .*x\.{end} is damaged'):
    wavs(path, 1, 8000)


def test_an_error_in_an_archive_names_the_file(tmp_path):
  with zipfile.ZipFile(tmp_path / 'x.zip', 'w') as archive:
    archive.writestr('a/b.wav', b'')
  with pytest.raises(ValueError, match=r'x\.zip/a/b\.wav \(an empty file\)'):
    wavs(tmp_path / 'x.zip', 1, 8000)


@pytest.mark.parametrize(
  ('damage', 'message'),
  [
    (lambda whole: whole[:-10], r'truncated: 234 bytes, and 244 by its header'),
    (lambda whole: whole[:-1], r'truncated: 243 bytes, and 244'),
    (lambda whole: whole[:45], 'truncated: 45 bytes, and 244'),
    (lambda whole: whole[:20], 'truncated: 20 bytes, and 244'),
    (lambda whole: whole[:10], 'truncated: 10 bytes, and 244'),
    (lambda whole: whole[:4] + bytes(4) + whole[8:], 'no length in its header'),
    (lambda whole: streamed(whole), 'no length in its header'),
    (lambda whole: content([1] * 9, width=3)[:-1], 'truncated: 70 bytes'),
    (lambda whole: b'', 'an empty file'),
    (lambda whole: content([]), 'no samples'),
    (lambda whole: whole[:22] + bytes(2) + whole[24:], 'tells of no channels'),
    (lambda whole: whole[:24] + bytes(8) + whole[32:], 'a rate of 0 samples'),
    (lambda whole: b'ID3\x04' + whole, 'an MP3'),
    (lambda whole: b'\xff\xfb\x90\x64' + bytes(400), 'an MP3'),
    (lambda whole: b'hello, world', "no wav file .* begins with b'hell'"),
    (lambda whole: b'\x89PNG' + whole, r"begins with b'\\x89PNG'"),
    # 0x55 is the format of MP3 inside of a wav file.
    (lambda whole: whole[:20] + b'\x55' + whole[21:], 'MPEGLAYER3'),
  ],
)
def test_a_damaged_file_is_named(tmp_path, damage, message):
  put(tmp_path / 'a.wav', [1] * 100)
  whole = (tmp_path / 'a.wav').read_bytes()
  (tmp_path / 'b.wav').write_bytes(damage(whole))
  with pytest.raises(ValueError, match=rf'cannot read .*b\.wav \(.*{message}'):
    wavs(tmp_path, 10, 8000)


def test_a_link_to_nowhere_is_named(tmp_path):
  put(tmp_path / 'a.wav', [1] * 100)
  (tmp_path / 'b.wav').symlink_to(tmp_path / 'nowhere')
  with pytest.raises(ValueError, match=r'b\.wav \(No such file.*Remove it, or'):
    wavs(tmp_path, 10, 8000)


def test_what_is_not_finite_is_told(tmp_path):
  wavfile.write(tmp_path / 'x.wav', 8000, np.float32([0, np.nan]))
  with pytest.raises(ValueError, match=r'x\.wav \(samples that are not finite'):
    wavs(tmp_path, 2, 8000)


def test_other_chunks_are_passed_over(tmp_path):
  whole = content([1, 2, 3])
  extra = b'LIST' + (4).to_bytes(4, 'little') + b'INFO'
  size = (len(whole) + len(extra) - 8).to_bytes(4, 'little')
  # Before the data, which begin at byte 36.
  held = whole[:4] + size + whole[8:36] + extra + whole[36:]
  (tmp_path / 'x.wav').write_bytes(held)
  np.testing.assert_array_equal(one(tmp_path, 3), [1, 2, 3])


def test_a_silent_file_is_passed_over_by_name(tmp_path, capsys):
  put(tmp_path / 'a.wav', [0] * 50)
  put(tmp_path / 'b.wav', [3, 0])
  put(tmp_path / 'c.wav', [700] * 50, rate=16000)  # a constant is no sound
  np.testing.assert_array_equal(one(tmp_path, 1), [3])
  told = capsys.readouterr().err
  for name in 'ac':
    assert f'{tmp_path / name}.wav is silent; passed over' in told
  assert 'b.wav' not in told
  (tmp_path / 'b.wav').unlink()
  with pytest.raises(ValueError, match='are silent, 2 in number'):
    wavs(tmp_path, 1, 8000)


def test_a_file_of_another_scale_is_named(tmp_path, capsys):
  wavfile.write(tmp_path / 'x.wav', 8000, np.float32([0, 20000, -10000]))
  wavfile.write(tmp_path / 'y.wav', 8000, np.float32([0, 1.2, -1]))
  sound = wavs(tmp_path, 3, 8000)[0].arrays['sound']
  assert sound[0, :, 0].tolist() == [0, 32767, -32768]
  told = capsys.readouterr().err
  assert 'x.wav is 2e+04 times as loud as full scale' in told
  assert 'y.wav' not in told
  wavs(tmp_path, 3, 8000, normalise=True)
  assert not capsys.readouterr().err


def test_a_path_without_sounds_is_told_from_no_path(tmp_path):
  (tmp_path / 'a.mp3').write_bytes(b'ID3')
  with pytest.raises(FileNotFoundError, match=r'no \.wav file.*save them as'):
    wavs(tmp_path, 1, 8000)
  with pytest.raises(
    FileNotFoundError, match=r'no folder or archive .*nowhere'
  ):
    wavs(tmp_path / 'nowhere', 1, 8000)
  with pytest.raises(FileNotFoundError, match='needs the path'):
    wavs('', 1, 8000)
  put(tmp_path / 'x.wav', [1, 0])
  with pytest.raises(ValueError, match=r'x\.wav is neither'):
    wavs(tmp_path / 'x.wav', 1, 8000)


def test_the_path_may_start_at_home_or_be_here(tmp_path, monkeypatch):
  put(tmp_path / 'mine' / 'x.wav', [1, 0])
  monkeypatch.setenv('HOME', str(tmp_path))
  assert len(wavs('~/mine', 1, 8000)[0]) == 1
  monkeypatch.chdir(tmp_path / 'mine')
  assert len(wavs('.', 1, 8000)[0]) == 1


def test_arguments_out_of_range_are_refused(tmp_path):
  with pytest.raises(ValueError, match='length=0'):
    wavs(tmp_path, 0, 8000)
  with pytest.raises(ValueError, match='rate=0'):
    wavs(tmp_path, 1, 0)


def test_too_much_for_memory_is_refused(tmp_path, monkeypatch):
  monkeypatch.setattr(decode, 'MAX_BYTES', 2**10)
  for i in range(3):
    put(tmp_path / f'{i}.wav', [1, 0])
  assert len(wavs(tmp_path, 100, 8000)[0]) == 3
  with pytest.raises(ValueError, match='more than the 0 GiB'):
    wavs(tmp_path, 300, 8000)


def test_to_int16_rounds_and_clips():
  got = to_int16(np.array([0, 0.5, -1, 1, -1.2, 1.6 / 32768]))
  np.testing.assert_array_equal(got, [0, 16384, -32768, 32767, -32768, 2])
