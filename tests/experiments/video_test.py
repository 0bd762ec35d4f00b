"""Clips in rows and as GIFs, and what is measured of them."""

import io

import numpy as np
import pytest
from PIL import Image, ImageSequence

from experiments import video


def played(content):
  """The frames of a GIF, uint8 [frames, height, width, 3], and its pace."""
  with Image.open(io.BytesIO(content)) as image:
    assert image.info['loop'] == 0
    pace = image.info['duration']
    frames = [
      np.asarray(x.convert('RGB')) for x in ImageSequence.Iterator(image)
    ]
  return np.stack(frames), pace


def clip(channels=1, frames=5):
  rng = np.random.default_rng(0)
  return rng.integers(256, size=(frames, 8, 6, channels)).astype(np.uint8)


def test_a_grey_gif_keeps_every_level():
  levels = np.arange(256).reshape(16, 16, 1).astype(np.uint8)
  grey = np.stack([np.roll(levels, shift, 0) for shift in (0, 5, 9)])
  for channels in (1, 3):
    frames, pace = played(video.gif(np.repeat(grey, channels, -1), 80))
    assert pace == 80
    np.testing.assert_array_equal(frames, np.repeat(grey, 3, -1))


def test_a_frame_that_stays_is_one_of_a_longer_stay():
  frames, pace = played(video.gif(clip()[[0, 0, 1]], 80))
  assert len(frames) == 2
  assert pace == 160  # of the first


def test_floats_are_rounded_to_levels():
  levels = clip()
  frames, _ = played(video.gif(levels / 127.5 - 1))
  np.testing.assert_array_equal(frames, np.repeat(levels, 3, -1))


def test_a_colour_gif_has_256_colours_a_frame():
  few = clip(channels=3) // 64 * 64
  frames, _ = played(video.gif(few))
  assert frames.shape == few.shape
  assert np.abs(frames.astype(int) - few).mean() < 8


def test_rows_are_clips_and_the_gif_plays_all():
  clips = np.stack([clip(frames=3)] * 2 + [255 - clip(frames=3)] * 2)
  shown = video.modality(columns=2).reals({'video': clips})
  picture, gap = shown.picture, 2
  assert picture.shape == (4 * (8 + gap) + gap, 3 * (6 + gap) + gap, 3)
  second = picture[gap + 10 : gap + 18, gap + 16 : gap + 22]
  np.testing.assert_array_equal(second, np.repeat(clips[1, 2], 3, -1))
  frames, pace = played(shown.files['.gif'])
  assert (len(frames), pace) == (3, 100)
  lower_right = frames[1, gap + 10 : gap + 18, gap + 8 : gap + 14]
  np.testing.assert_array_equal(lower_right, np.repeat(clips[3, 1], 3, -1))


def test_one_sample_is_a_gif_and_all_are_levels():
  kind = video.modality()
  made = clip()[None] / np.float32(127.5) - 1
  assert kind.suffix == '.gif'
  assert len(played(kind.encode(made[0]))[0]) == 5
  arrays = kind.arrays(made)
  assert arrays['video'].dtype == np.uint8
  np.testing.assert_array_equal(arrays['video'][0], clip())


def test_changes_are_mean_differences_of_levels():
  clips = np.zeros((2, 3, 2, 2, 1), np.uint8)
  clips[0, 1] = 4
  clips[1, 2, 0, 0] = 200
  np.testing.assert_allclose(video.changes(clips), [[4, 4], [0, 50]])


def test_stills_are_one_frame_of_each_clip():
  clips = np.arange(60 * 3, dtype=np.uint8).reshape(60, 3, 1, 1, 1)
  got = video.stills(clips, seed=1)
  assert got.shape == (60, 1, 1, 1)
  clip_of, frame = np.divmod(got.ravel(), 3)
  np.testing.assert_array_equal(clip_of, np.arange(60))
  assert set(frame) == {0, 1, 2}
  np.testing.assert_array_equal(got, video.stills(clips, seed=1))


def test_what_is_no_clip_is_refused():
  for wrong in (
    np.zeros((8, 6, 1)),
    np.zeros((3, 8, 6, 2)),
    np.zeros((0, 8, 6, 1)),
  ):
    with pytest.raises(ValueError, match='needs a clip'):
      video.gif(wrong)
  with pytest.raises(ValueError, match='not finite'):
    video.gif(np.full((2, 4, 4, 1), np.nan))
