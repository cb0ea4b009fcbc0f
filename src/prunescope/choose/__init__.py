"""Which member of a family to prune, by how much, and what to train to find out. numpy alone."""

from prunescope.choose.choice import smallest_network as smallest_network
from prunescope.choose.plan import Plan as Plan
from prunescope.choose.plan import Proposal as Proposal
from prunescope.choose.planning import next_ladders as next_ladders
from prunescope.choose.results import Answer as Answer
from prunescope.choose.results import Answers as Answers
from prunescope.choose.results import Declined as Declined
from prunescope.choose.results import Pick as Pick
