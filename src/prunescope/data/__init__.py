"""Datasets as arrays of bytes, and what a replicate trains on: subsample, label noise, validation. Numpy only."""

from prunescope.data.dataset import Dataset as Dataset
from prunescope.data.load import load as load
from prunescope.data.random_streams import generator as generator
from prunescope.data.random_streams import keys as keys
from prunescope.data.subsample import Subsample as Subsample
from prunescope.data.subsample import draw_subsample as draw_subsample
