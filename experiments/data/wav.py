"""Sound files as clips of one length: a folder or an archive of wav files."""

import fractions
import gzip
import io
import os
import re
import sys
import tarfile
import warnings
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path, PurePosixPath

import numpy as np
import scipy
from scipy.io import wavfile
from tqdm import tqdm

from experiments.data import decode
from experiments.data.batches import Arrays
from experiments.data.visible import visible

_DAMAGED = (
  tarfile.TarError,
  zipfile.BadZipFile,
  gzip.BadGzipFile,
  zlib.error,
  EOFError,
  RuntimeError,  # of zipfile, where a password is needed
)
_ZIP, _TAR = ('.zip',), ('.tar', '.tar.gz', '.tgz')
_TOO_LOUD = 2.0  # of full scale; less may be a filter's overshoot
_WAV = (b'RIFF', b'RIFX', b'RF64')
_MP3 = (b'ID3', b'\xff\xfb', b'\xff\xf3', b'\xff\xf2', b'\xff\xfa')

Cut = Callable[[np.ndarray, int], np.ndarray]
"""`(sound [t], length) -> [n, length]`, clips of one sound."""


def loudest(sound: np.ndarray, length: int) -> np.ndarray:
  """The window of the most energy, `[1, length]`; all of a shorter sound.

  Of windows that are as loud the first. What is shorter begins the clip, and
  silence follows.

  Args:
    sound: `[t]`, t at least 1.
    length: of the clip.
  """
  if len(sound) <= length:
    return np.pad(sound, (0, length - len(sound)))[None]
  energy = np.cumsum(np.square(sound, dtype=np.float64))
  windows = energy[length - 1 :] - np.pad(energy[:-length], (1, 0))
  start = int(windows.argmax())
  return sound[start : start + length][None]


def consecutive(sound: np.ndarray, length: int) -> np.ndarray:
  """All windows one after another, `[n, length]`, for music and other takes.

  Silence follows what the last one lacks.

  Args:
    sound: `[t]`, t at least 1.
    length: of a clip.
  """
  return np.pad(sound, (0, -len(sound) % length)).reshape(-1, length)


def wavs(
  path: str | os.PathLike,
  length: int,
  rate: int,
  cut: Cut = loudest,
  normalise: bool = False,
  wanted: Callable[[PurePosixPath], bool] = lambda name: True,
) -> tuple[Arrays, tuple[str, ...]]:
  """Returns every wav file under a folder, or in an archive, as clips.

  Reads PCM of 8 to 32 bits and floating-point numbers, in the order of the
  files' paths; what is hidden (a name with a leading dot) is passed over.
  Channels are mixed to one by their mean, and another sample rate is brought
  to the asked one by a polyphase filter without aliasing. 16-bit files of that
  rate keep their samples. A file that is silent throughout is passed over with
  a line on stderr that names it, and so are clips that are silent. Louder than
  full scale, as floating-point files can be, is clipped, unless `normalise`d; a
  line on stderr names files of twice that.

  Args:
    path: the folder, or a .zip, .tar, .tar.gz or .tgz file, of which nothing is
      written to the disk. Where all files lie in subfolders of it, two or more,
      each subfolder is a class; else, where each file's name begins with a
      whole number and an underscore, as in 7_george_12.wav, each number is.
    length: samples of a clip.
    rate: samples a second.
    cut: what is taken of a file: `loudest`, one clip of each, or
      `consecutive`, all of it.
    normalise: scale each clip to the largest peak that 16 bits hold.
    wanted: whether a file is read, by its path in the folder or archive; what
      it refuses is as if it were not there.

  Returns:
    'sound', int16 [N, length, 1], with 'label', int32 [N], where there are
    classes; and the classes' names in the labels' order, empty where there are
    none: subfolders by name, numbers by size.

  Raises:
    FileNotFoundError: there is no such path, or no wav file in it.
    ValueError: an argument is out of range, a file cannot be read, is
      truncated, empty or no wav file, all are silent, or together they would
      not fit into memory.
  """
  if length < 1 or rate < 1:
    raise ValueError(
      f'wavs: needs length and rate of at least 1, not {length=}, {rate=}.'
    )
  if not os.fspath(path):
    raise FileNotFoundError(
      'wavs: needs the path of a folder of wav files, or of an archive.'
    )
  # A shell leaves the ~ of --path=~/sounds as it is.
  path = Path(os.path.expanduser(path))
  found, size = {}, 0
  bar = tqdm(desc='sounds', unit='', disable=None, leave=False)
  with bar:
    for name, content in _files(path):
      if not wanted(name):
        continue
      where = path / name
      cuts = cut(_sound(where, content, rate), length)
      peak = np.abs(cuts).max(initial=0)
      if peak > _TOO_LOUD and not normalise:
        print(
          f'wavs: {where} is {peak:.3g} times as loud as full scale, and is '
          'clipped; scale it to between -1 and 1',
          file=sys.stderr,
        )
      clips = _audible(cuts, normalise)
      if not len(clips):
        print(f'wavs: {where} is silent; passed over', file=sys.stderr)
      size += clips.nbytes
      if size > decode.MAX_BYTES:
        raise ValueError(
          f'wavs: the clips of {path} take more than the '
          f'{decode.MAX_BYTES / 2**30:.0f} GiB that are held in memory: use a '
          'lower rate, or fewer files.'
        )
      found[name] = clips
      bar.update()
  if not found:
    raise FileNotFoundError(
      f'wavs: no .wav file, or none of those wanted, is in {path}. Other '
      'formats, such as MP3 or FLAC, are not read: save them as WAV.'
    )
  names = sorted(name for name in found if len(found[name]))
  if not names:
    raise ValueError(
      f'wavs: all sounds in {path} are silent, {len(found)} in number.'
    )
  classes, labels = _classes(names)
  arrays = {'sound': np.concatenate([found[name] for name in names])[..., None]}
  if classes:
    arrays['label'] = np.repeat(labels, [len(found[name]) for name in names])
  return Arrays(arrays), classes


def to_int16(sound: np.ndarray) -> np.ndarray:
  """Returns sound in [-1, 1] as int16, rounded; clips what is outside."""
  scaled = np.rint(np.asarray(sound, np.float32) * 32768)
  return np.clip(scaled, -32768, 32767).astype(np.int16)


def _files(path: Path) -> Iterator[tuple[PurePosixPath, bytes]]:
  """The wav files in a folder or archive: path in it, and content."""
  if not path.exists():
    raise FileNotFoundError(f'wavs: there is no folder or archive {path}.')
  if path.is_dir():
    yield from _in_folder(path)
    return
  read = next(
    (
      read
      for ends, read in ((_ZIP, _in_zip), (_TAR, _in_tar))
      if path.name.lower().endswith(ends)
    ),
    None,
  )
  if read is None:
    raise ValueError(
      f'wavs: needs a folder or an archive ({" ".join(_ZIP + _TAR)}), and '
      f'{path} is neither.'
    )
  try:
    yield from read(path)
  except _DAMAGED as error:
    raise ValueError(
      f'wavs: the archive {path} is damaged ({error}). Fetch it anew.'
    ) from error


def _in_folder(path):
  for parent, names in visible(path):
    for name in names:
      inside = PurePosixPath(Path(parent, name).relative_to(path).as_posix())
      if _wanted(inside):
        yield inside, _content(Path(parent, name))


def _content(file: Path) -> bytes:
  try:
    return file.read_bytes()
  except OSError as error:  # a link to nowhere, or no right to read
    raise ValueError(
      f'wavs: cannot read {file} ({error.strerror}). Remove it, or put a file '
      'there that may be read.'
    ) from error


def _in_tar(path):
  with tarfile.open(path) as archive:
    for member in archive:
      name = PurePosixPath(member.name)
      if member.isfile() and _wanted(name):
        yield name, archive.extractfile(member).read()


def _in_zip(path):
  with zipfile.ZipFile(path) as archive:
    for member in archive.namelist():
      # Some programs of Windows write its own separator.
      name = PurePosixPath(member.replace('\\', '/'))
      if _wanted(name):
        yield name, archive.read(member)


def _wanted(name: PurePosixPath) -> bool:
  visible = not any(part.startswith('.') for part in name.parts if part != '.')
  return name.suffix.lower() == '.wav' and visible


def _sound(where: Path, content: bytes, rate: int) -> np.ndarray:
  """A file as mono of this rate, float32 [t]; ValueError: it cannot be."""
  try:
    own_rate, sound = _decoded(content)
  except ValueError as error:
    raise ValueError(
      f'wavs: cannot read {where} ({error}). Remove it, or save it anew as PCM '
      'with a sound editor.'
    ) from error
  if sound.ndim == 2:
    sound = sound.mean(1)
  if not np.ptp(sound):
    return np.zeros(len(sound), np.float32)  # silent, whatever the one value
  if own_rate != rate:
    ratio = fractions.Fraction(rate, own_rate)
    sound = scipy.signal.resample_poly(
      sound, ratio.numerator, ratio.denominator
    )
  return sound.astype(np.float32)


def _decoded(content: bytes) -> tuple[int, np.ndarray]:
  """The rate and the samples of a wav file, float64 in [-1, 1]."""
  if not content:
    raise ValueError('an empty file')
  if content.startswith(_MP3):
    raise ValueError('an MP3 by its content')
  if content[:4] not in _WAV:
    raise ValueError(
      f'no wav file by its content, which begins with {content[:4]}'
    )
  with warnings.catch_warnings():
    # Of chunks that are no sound, such as a title.
    warnings.simplefilter('ignore', wavfile.WavFileWarning)
    warnings.filterwarnings('error', 'Reached EOF prematurely')
    try:
      rate, sound = wavfile.read(io.BytesIO(content))
    except ZeroDivisionError as error:
      raise ValueError('a header that tells of no channels') from error
    except Exception as error:
      # It raises errors of several types for damaged files.
      raise ValueError(_lacking(content) or error) from error
  if not sound.size:
    raise ValueError('no samples in it')
  if rate < 1:
    raise ValueError(f'a rate of {rate} samples a second')
  if sound.dtype.kind == 'f':
    if not np.isfinite(sound).all():
      raise ValueError('samples that are not finite')
    return rate, sound.astype(np.float64)
  bits = 8 * sound.dtype.itemsize
  centre = 128 if sound.dtype == np.uint8 else 0
  return rate, (sound.astype(np.float64) - centre) / 2.0 ** (bits - 1)


def _lacking(content: bytes) -> str:
  """What a wav file lacks of the length in its header; nothing: nothing."""
  order = 'big' if content.startswith(b'RIFX') else 'little'
  size = int.from_bytes(content[4:8], order)
  if size in (0, 2**32 - 1):
    return 'no length in its header, as of a stream or a take broken off'
  whole = size + 8
  if len(content) >= whole:
    return ''
  return f'truncated: {len(content):,} bytes, and {whole:,} by its header'


def _audible(clips: np.ndarray, normalise: bool) -> np.ndarray:
  """Clips as int16 [n, length], without those that are silent there."""
  clips = clips[to_int16(clips).any(1)]
  if normalise:
    clips = clips / np.abs(clips).max(1, keepdims=True) * (32767 / 32768)
  return to_int16(clips)


def _classes(
  names: Sequence[PurePosixPath],
) -> tuple[tuple[str, ...], np.ndarray]:
  """The names of the classes, and the class of each file."""
  firsts = {name.parts[0] for name in names}
  if len(firsts) > 1 and all(len(name.parts) > 1 for name in names):
    classes = tuple(sorted(firsts))
    of_files = [name.parts[0] for name in names]
  else:
    found = [re.match(r'(\d+)_', name.name) for name in names]
    if not all(found):
      return (), np.empty(0, np.int32)
    numbers = [int(match[1]) for match in found]
    of_files = list(map(str, numbers))
    classes = tuple(map(str, sorted(set(numbers))))
  number = {name: i for i, name in enumerate(classes)}
  return classes, np.array([number[name] for name in of_files], np.int32)
