"""Which member of a family to prune, and by how much. numpy alone."""

from prunescope.choose.choice import smallest_network as smallest_network
from prunescope.choose.results import Answer as Answer
from prunescope.choose.results import Answers as Answers
from prunescope.choose.results import Declined as Declined
from prunescope.choose.results import Pick as Pick
