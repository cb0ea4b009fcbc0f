"""What to train: studies, cells, treatments, and the identity of every ladder. Needs neither numpy nor torch."""

from prunescope.study.differences import Difference as Difference
from prunescope.study.differences import differences as differences
from prunescope.study.effort import Effort as Effort
from prunescope.study.effort import Ensemble as Ensemble
from prunescope.study.effort import effort as effort
from prunescope.study.effort import ensembles as ensembles
from prunescope.study.paper_figures import PlannedFigure as PlannedFigure
from prunescope.study.paper_figures import paper_figures as paper_figures
from prunescope.study.read import parse_study as parse_study
from prunescope.study.read import preset_text as preset_text
from prunescope.study.read import presets as presets
from prunescope.study.read import read_study as read_study
from prunescope.study.sections import Axes as Axes
from prunescope.study.sections import El2n as El2n
from prunescope.study.sections import OwnDataset as OwnDataset
from prunescope.study.sections import Recipe as Recipe
from prunescope.study.sections import Treatment as Treatment
from prunescope.study.study import FORMAT as FORMAT
from prunescope.study.study import Cell as Cell
from prunescope.study.study import Ladder as Ladder
from prunescope.study.study import Study as Study
