"""What to train: studies, cells, treatments, and the identity of every ladder. Needs neither numpy nor torch."""

from prunescope.spec.compare import Difference as Difference
from prunescope.spec.compare import differences as differences
from prunescope.spec.effort import Effort as Effort
from prunescope.spec.effort import effort as effort
from prunescope.spec.ensemble import Ensemble as Ensemble
from prunescope.spec.ensemble import ensembles as ensembles
from prunescope.spec.parts import Axes as Axes
from prunescope.spec.parts import El2n as El2n
from prunescope.spec.parts import Recipe as Recipe
from prunescope.spec.parts import Treatment as Treatment
from prunescope.spec.read import parse_study as parse_study
from prunescope.spec.read import preset_text as preset_text
from prunescope.spec.read import presets as presets
from prunescope.spec.read import read_study as read_study
from prunescope.spec.study import FORMAT as FORMAT
from prunescope.spec.study import Cell as Cell
from prunescope.spec.study import Ladder as Ladder
from prunescope.spec.study import Study as Study
