"""Datasets as arrays of bytes, and what a replicate trains on: subsample, label noise, validation. Numpy only."""

from prunescope.data.chance import generator as generator
from prunescope.data.chance import keys as keys
from prunescope.data.dataset import Dataset as Dataset
from prunescope.data.load import load as load
from prunescope.data.share import Share as Share
from prunescope.data.share import draw_share as draw_share
