"""Datasets as arrays of bytes, and what a replicate trains on: subsample, label noise, validation. Numpy only."""

from prunescope.data.coding import EncodedPictures as EncodedPictures
from prunescope.data.dataset import Dataset as Dataset
from prunescope.data.imagenet import pack_dataset as pack_dataset
from prunescope.data.load import load as load
from prunescope.data.own import OwnData as OwnData
from prunescope.data.own import own_name as own_name
from prunescope.data.own import read_datasets as read_datasets
from prunescope.data.own import read_own as read_own
from prunescope.data.own import read_own_of as read_own_of
from prunescope.data.subsample import Subsample as Subsample
from prunescope.data.subsample import draw_subsample as draw_subsample
from prunescope.data.subsample import generator as generator
from prunescope.data.subsample import keys as keys
