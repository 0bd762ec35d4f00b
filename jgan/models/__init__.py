"""One paper, one file: reference, modules, one function that returns a GAN."""

from jgan.models.acgan import acgan
from jgan.models.biggan import biggan
from jgan.models.cgan import cgan
from jgan.models.ctgan import ctgan
from jgan.models.cyclegan import cyclegan
from jgan.models.dcgan import dcgan
from jgan.models.dragan import dragan
from jgan.models.gumbelgan import gumbelgan
from jgan.models.infogan import infogan
from jgan.models.lsgan import lsgan
from jgan.models.mlp import mlp
from jgan.models.mocogan import mocogan
from jgan.models.multimodal import multimodal
from jgan.models.pix2pix import pix2pix
from jgan.models.r3gan import r3gan
from jgan.models.rcgan import rcgan
from jgan.models.sagan import sagan
from jgan.models.seqgan import seqgan
from jgan.models.sngan import sngan
from jgan.models.stylegan2 import stylegan2
from jgan.models.timegan import timegan
from jgan.models.wavegan import wavegan
from jgan.models.wgan import wgan
from jgan.models.wgan_gp import wgan_gp

__all__ = [
  'acgan',
  'biggan',
  'cgan',
  'ctgan',
  'cyclegan',
  'dcgan',
  'dragan',
  'gumbelgan',
  'infogan',
  'lsgan',
  'mlp',
  'mocogan',
  'multimodal',
  'pix2pix',
  'r3gan',
  'rcgan',
  'sagan',
  'seqgan',
  'sngan',
  'stylegan2',
  'timegan',
  'wavegan',
  'wgan',
  'wgan_gp',
]
