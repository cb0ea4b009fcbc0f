"""Which member of a family to prune, and by how much. numpy alone."""

from prunescope.choose.answers import Answer as Answer
from prunescope.choose.answers import Answers as Answers
from prunescope.choose.answers import Declined as Declined
from prunescope.choose.choice import smallest_network as smallest_network
from prunescope.choose.description import Pick as Pick
