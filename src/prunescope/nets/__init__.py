"""Networks: families by depth and width, each written once for one member or a cohort."""

from prunescope.nets.families import DESIGNS, network
from prunescope.nets.network import Designed, Network
from prunescope.nets.outline import Outline, ParameterOutline, outline

__all__ = ["DESIGNS", "Designed", "Network", "Outline", "ParameterOutline", "network", "outline"]
