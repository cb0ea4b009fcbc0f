"""What to train next to know the smallest network that is good enough. numpy alone, until something trains."""

from prunescope.design.recommendation import DesignPlan as DesignPlan
from prunescope.design.recommendation import Proposal as Proposal
from prunescope.design.recommendation import next_ladders as next_ladders
