"""One paper, one file: reference, modules, one function that returns a GAN."""

from jgan.models.dcgan import dcgan
from jgan.models.lsgan import lsgan
from jgan.models.mlp import mlp

__all__ = ['dcgan', 'lsgan', 'mlp']
